import math
from dataclasses import replace
from pathlib import Path

from jacengine.report import Row, write_report
from tests.report.build import REPORTS, Page, case, ok, report


def test_missing_numbers_are_left_out(tmp_path: Path) -> None:
    odd = (math.nan, math.inf, -math.inf, None, 0.0, 1e-300, 1e300)
    rows = [
        replace(ok(f"s{i}", time), first_s=time, error=time)
        for i, time in enumerate(odd)
    ]
    rows += [Row("bare", "ok"), replace(ok("nothing", 1.0), peak_bytes=0)]
    path = write_report(
        report(case("a", *rows), case("b"), case("c", *rows[3:])), tmp_path
    )

    assert "nan" not in Page(path.read_text(encoding="utf-8")).text.lower()
    assert "NaN" not in (tmp_path / "results.json").read_text(encoding="utf-8")
    assert "nan" not in (tmp_path / "results.csv").read_text(encoding="utf-8")


def test_files_are_replaced_and_no_draft_remains(tmp_path: Path) -> None:
    for found in (REPORTS["example"], REPORTS["one size"]):
        assert write_report(found, tmp_path / "new") == tmp_path / "new" / "report.html"

    names = {"report.html", "report.md", "results.csv", "results.json"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
