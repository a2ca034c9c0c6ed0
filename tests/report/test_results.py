import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import jacengine
from jacengine.report import Report, Row, read_results
from jacengine.report.case import sanitize
from jacengine.report.results import (
    case_from_json,
    case_to_json,
    from_json,
    to_csv,
    to_json,
)
from tests.report.build import REPORTS, case, example, ok, report

FORMULA = ("=", "+", "-", "@")
COMMITTED = Path(__file__).parents[2] / "reports"


def test_json_is_read_back(tmp_path: Path) -> None:
    for found in REPORTS.values():
        assert from_json(to_json(found)) == found
        file = tmp_path / "results.json"
        file.write_text(to_json(sanitize(found)), encoding="utf-8")
        assert read_results(tmp_path) == read_results(file) == sanitize(found)
    assert json.loads(to_json(example()))["schema"] == 2


@pytest.mark.parametrize("name", ["compiled", "full"])
def test_committed_results_are_readable(name: str) -> None:
    found = read_results(COMMITTED / name)

    assert len(found.cases) == found.planned
    assert any(row.outcome == "ok" for case in found.cases for row in case.rows)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 2, "cases": [{}]}', "nan"]
)
def test_other_json_is_rejected(text: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match="results"):
        from_json(text)


def test_a_case_is_one_line_and_read_back() -> None:
    for found in REPORTS.values():
        for each in found.cases:
            line = case_to_json(each)
            assert line.splitlines() == [line]
            assert case_from_json(line) == each


def test_a_line_keeps_every_field_and_no_nan() -> None:
    row = replace(
        ok("auto", math.nan),
        times=(0.1, math.inf, 0.2),
        kind="auto",
        picked="fast",
        flops=7,
    )
    found = replace(case("a", row), workload="w", size=3, budget_bytes=10, threads=2)
    read = case_from_json(case_to_json(found))

    assert read == replace(
        found, rows=(replace(row, time_s=None, first_s=None, times=(0.1, 0.2)),)
    )


@pytest.mark.parametrize(
    "line", ["", "{", "3", "{}", '{"schema": 2}', '{"schema": 2, "rows": [{}]}', "[]"]
)
def test_a_damaged_line_is_rejected(line: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match="results"):
        case_from_json(line)


def test_another_schema_is_rejected() -> None:
    with pytest.raises(jacengine.ArgumentError, match="schema 99"):
        from_json('{"schema": 99}')


def test_csv_has_every_candidate_and_no_formula(sanitized: Report) -> None:
    lines = list(csv.reader(io.StringIO(to_csv(sanitized))))

    assert len(lines) == 1 + sum(len(found.rows) for found in sanitized.cases)
    assert lines[0][:3] == ["problem", "strategy", "outcome"]
    assert len({len(line) for line in lines}) == 1
    assert not [cell for line in lines for cell in line if cell.startswith(FORMULA)]


def test_csv_keeps_integers_where_others_are_missing() -> None:
    found = report(case("a", ok("b", 1.0, 300), Row("c", "error")))
    lines = list(csv.DictReader(io.StringIO(to_csv(found))))

    assert [line["peak_bytes"] for line in lines] == ["300", ""]
