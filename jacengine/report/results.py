"""The figures for programs: JSON, which is read back, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report, Row, finite
from jacengine.report.machine import Machine
from jacengine.report.ranking import Standing

_Made = TypeVar("_Made")

SCHEMA = 2
"""The version of the layout of `results.json`, and of a case's line."""
_NOT_IN_CSV = ("name", "rows", "description", "failure", "origin")


def to_json(report: Report) -> str:
    """Write everything that a report is made from."""
    content = {"schema": SCHEMA, **asdict(report)}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Report:
    """Read what `to_json` wrote.

    Raises:
        ArgumentError: It is something else, or has another layout.
    """
    return _read(text, _report)


def case_to_json(case: Case) -> str:
    """Write one case as one line, without its end."""
    content = {"schema": SCHEMA, **asdict(finite(case))}
    return json.dumps(content, allow_nan=False)


def case_from_json(line: str) -> Case:
    """Read what `case_to_json` wrote.

    Raises:
        ArgumentError: It is something else, or has another layout.
    """
    return _read(line, lambda content: _case(**content))


def _read(text: str, make: Callable[[dict[str, Any]], _Made]) -> _Made:
    try:
        content = json.loads(text)
        found = content.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            "These are no results of jacengine: expected JSON with a 'schema'."
        ) from error
    if found != SCHEMA:
        raise ArgumentError(
            f"These results have schema {found!r}, and this version of jacengine reads "
            f"schema {SCHEMA}. Measure again, or read them with the version that wrote "
            "them."
        )
    try:
        return make(content)
    except (KeyError, TypeError) as error:
        raise ArgumentError(f"These results are damaged: {error}.") from error


def read_results(path: str | Path) -> Report:
    """Read `results.json`, to write its report again.

    Args:
        path: The file, or the folder that it lies in.

    Raises:
        ArgumentError: It holds something else.
    """
    place = Path(path)
    file = place / "results.json" if place.is_dir() else place
    return from_json(file.read_text(encoding="utf-8"))


def to_csv(report: Report) -> str:
    """Write one line a candidate, after one line of titles."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    of_case = [field.name for field in fields(Case) if field.name not in _NOT_IN_CSV]
    of_row = [field.name for field in fields(Row)]
    writer.writerow(["problem", *of_row, "relative", *of_case])
    for case in report.cases:
        standing = Standing.of(case)
        shared = [getattr(case, name) for name in of_case]
        for row in standing.rows:
            own = [getattr(row, name) for name in of_row]
            cells = (case.name, *own, standing.relative(row), *shared)
            writer.writerow([_inert(cell) for cell in cells])
    return buffer.getvalue()


def _inert(cell: object) -> object:
    """Keep a spreadsheet from taking a text for a formula; write times apart."""
    if isinstance(cell, tuple):
        return " ".join(f"{time:.6g}" for time in cell)
    if isinstance(cell, str) and cell.lstrip().startswith(("=", "+", "-", "@")):
        return f"'{cell}"
    return cell


def _case(*, rows: Sequence[Mapping[str, Any]], **figures: Any) -> Case:
    return Case(rows=tuple(_row(**row) for row in rows), **figures)


def _row(*, times: Sequence[float], **figures: Any) -> Row:
    return Row(times=tuple(times), **figures)


def _report(content: Mapping[str, Any]) -> Report:
    cases = tuple(_case(**case) for case in content["cases"])
    machine = Machine(**content["machine"])
    figures: dict[str, Any] = {**content, "cases": cases, "machine": machine}
    return Report(**figures)
