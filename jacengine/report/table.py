"""The rows of a report as a table: CSV."""

from __future__ import annotations

from dataclasses import fields

from pandas import DataFrame

from jacengine.report.case import Case, Report, Row
from jacengine.report.ranking import Ranking

_CASE_FIELDS = [
    field.name
    for field in fields(Case)
    if field.name not in {"name", "rows", "description", "failure", "origin"}
]
_ROW_FIELDS = [field.name for field in fields(Row)]


def to_csv(report: Report) -> str:
    """Write one line for each candidate, after one line of titles."""
    table = DataFrame(
        [
            [
                _csv_cell(ranking.case.name),
                *(_csv_cell(getattr(row, field)) for field in _ROW_FIELDS),
                ranking.relative_time(row),
                *(_csv_cell(getattr(ranking.case, field)) for field in _CASE_FIELDS),
            ]
            for ranking in map(Ranking, report.cases)
            for row in ranking.rows
        ],
        columns=["problem", *_ROW_FIELDS, "relative", *_CASE_FIELDS],
        dtype=object,  # integers stay integers where others are missing
    )
    return table.to_csv(index=False, lineterminator="\n")


def _csv_cell(cell: object) -> object:
    """Join times, and keep spreadsheets from interpreting a text as a formula."""
    if isinstance(cell, tuple):
        return " ".join(f"{time:.6g}" for time in cell)
    if isinstance(cell, str) and cell.lstrip().startswith(("=", "+", "-", "@")):
        return f"'{cell}"
    return cell
