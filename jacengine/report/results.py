"""Results as data: JSON of a whole report, of one case as a line, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report, Row, drop_nonfinite
from jacengine.report.machine import Machine
from jacengine.report.ranking import Ranking

_Content = TypeVar("_Content")

SCHEMA = 2
"""The version of the layout of `results.json`, and of a case's line."""
_ROW_FIELDS = [field.name for field in fields(Row)]
_CASE_FIELDS = [
    field.name
    for field in fields(Case)
    if field.name not in {"name", "rows", "description", "failure", "origin", "code"}
]


def to_json(report: Report) -> str:
    """Serialize a report."""
    content = {"schema": SCHEMA, **asdict(report)}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def case_to_json(case: Case) -> str:
    """Serialize one case as one line, without its end."""
    content = {"schema": SCHEMA, **asdict(drop_nonfinite(case))}
    return json.dumps(content, allow_nan=False)


def from_json(text: str) -> Report:
    """Deserialize the output of `to_json`.

    Raises:
        ArgumentError: The text is something else, or has another schema.
    """
    return _read(text, _report)


def case_from_json(line: str) -> Case:
    """Deserialize the output of `case_to_json`.

    Raises:
        ArgumentError: The line is something else, or has another schema.
    """
    return _read(line, _case)


def read_results(path: str | Path) -> Report:
    """Read `results.json`: the file, or that of a folder.

    Raises:
        ArgumentError: The file contains something else.
    """
    file = Path(path)
    file = file / "results.json" if file.is_dir() else file
    return from_json(file.read_text(encoding="utf-8"))


def _read(text: str, make: Callable[[dict[str, Any]], _Content]) -> _Content:
    try:
        content = json.loads(text)
        schema = content.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            "These are no results of jacengine: expected JSON with a 'schema'."
        ) from error
    if schema != SCHEMA:
        raise ArgumentError(
            f"These results have schema {schema!r}, and this version of jacengine "
            f"reads schema {SCHEMA}. Measure again, or read them with the version that "
            "wrote them."
        )
    try:
        return make(content)
    except (KeyError, TypeError) as error:
        raise ArgumentError(f"These results are damaged: {error}.") from error


def _report(content: dict[str, Any]) -> Report:
    content["cases"] = tuple(_case(case) for case in content["cases"])
    content["machine"] = Machine(**content["machine"])
    return Report(**content)


def _case(content: dict[str, Any]) -> Case:
    for row in content["rows"]:
        row["times"] = tuple(row["times"])
    content["rows"] = tuple(Row(**row) for row in content["rows"])
    return Case(**content)


def to_csv(report: Report) -> str:
    """Write one line for each candidate, after one line of titles."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["problem", *_ROW_FIELDS, "relative", *_CASE_FIELDS])
    for ranking in map(Ranking, report.cases):
        case = [getattr(ranking.case, field) for field in _CASE_FIELDS]
        for row in ranking.rows:
            cells = [getattr(row, field) for field in _ROW_FIELDS]
            cells = [ranking.case.name, *cells, ranking.relative_time(row), *case]
            writer.writerow(map(_csv_cell, cells))
    return table.getvalue()


def _csv_cell(cell: object) -> object:
    """Join times, and keep spreadsheets from interpreting a text as a formula."""
    if isinstance(cell, tuple):
        return " ".join(f"{time:.6g}" for time in cell)
    if isinstance(cell, str) and cell.lstrip().startswith(("=", "+", "-", "@")):
        return f"'{cell}"
    return cell
