import csv
import io

from jacengine.report import Report, Row
from jacengine.report.table import to_csv
from tests.report.build import case, ok, report

FORMULA = ("=", "+", "-", "@")


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
