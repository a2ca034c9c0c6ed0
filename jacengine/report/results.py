"""Results as JSON: of a whole report, and of one case as a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report, Row, drop_nonfinite
from jacengine.report.machine import Machine

_Content = TypeVar("_Content")

SCHEMA = 2
"""The version of the layout of `results.json`, and of a case's line."""


def to_json(report: Report) -> str:
    """Serialize a report."""
    content = {"schema": SCHEMA, **asdict(report)}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Report:
    """Deserialize the output of `to_json`.

    Raises:
        ArgumentError: The text is something else, or has another schema.
    """
    return _read(text, _report)


def case_to_json(case: Case) -> str:
    """Serialize one case as one line, without its end."""
    content = {"schema": SCHEMA, **asdict(drop_nonfinite(case))}
    return json.dumps(content, allow_nan=False)


def case_from_json(line: str) -> Case:
    """Deserialize the output of `case_to_json`.

    Raises:
        ArgumentError: The line is something else, or has another schema.
    """
    return _read(line, _case)


def read_results(path: str | Path) -> Report:
    """Read `results.json`.

    Args:
        path: The file, or its folder.

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
