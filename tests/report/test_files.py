import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import jacengine
from jacengine.report import Report, Row, read_results, write_report
from jacengine.report.case import presentable
from jacengine.report.html import to_html
from jacengine.report.markdown import to_markdown
from jacengine.report.results import (
    case_from_json,
    case_to_json,
    from_json,
    to_csv,
    to_json,
)
from tests.report.build import (
    HOSTILE,
    case,
    example,
    hostile,
    hostile_sweep,
    ok,
    report,
    sweep,
)

FORMULA = ("=", "+", "-", "@")
REPORTS = {
    "example": example(),
    "hostile": hostile(),
    "empty": report(planned=3),
    "sweep": sweep(4),
    "one size": sweep(2, (10,)),
    "hostile sweep": hostile_sweep(),
}


class Page(HTMLParser):
    """Collects what is not text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(params=list(REPORTS))
def shown(request: pytest.FixtureRequest) -> Report:
    return presentable(REPORTS[request.param])


def test_the_page_is_whole(shown: Report) -> None:
    page = Page(to_html(shown))

    assert page.open == []
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in page.attributes if name.endswith("href")}
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_the_page_needs_nothing_else(shown: Report) -> None:
    text = to_html(shown)
    page = Page(text)

    assert {"script", "link", "img", "iframe", "object", "base"}.isdisjoint(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name.endswith(("href", "src")):
            assert value.startswith("#"), value
        assert "://" not in value or name in {"title", "aria-label"}, value
    assert not re.search(r"url\((?!#)|@import|@font-face", text)


def test_hostile_names_are_shown_as_they_are() -> None:
    shown = presentable(hostile())
    text = Page(to_html(shown)).text

    for found in shown.cases:
        if len(found.name) < 60:
            assert found.name in text


def test_figures_keep_names_out_of_markup() -> None:
    name = "<b>&\"'"
    text = to_html(presentable(report(case(name, ok(name, 1.0, 9), ok("x", 2.0, 5)))))

    assert "<b>" not in text
    assert "&lt;b&gt;" in text.split("<svg", 1)[1].split("</svg>", 1)[0]


def test_figures_take_the_colours_of_the_page() -> None:
    text = to_html(presentable(example()))

    assert text.count("<svg") == 6
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--accent)" in drawn
    assert re.findall(r"#[0-9a-f]{6}\b", drawn) == []
    assert "font-family" not in drawn


def test_csv_holds_every_candidate_and_no_formula(shown: Report) -> None:
    lines = list(csv.reader(io.StringIO(to_csv(shown))))

    assert len(lines) == 1 + sum(len(found.rows) for found in shown.cases)
    assert lines[0][:3] == ["problem", "strategy", "outcome"]
    assert len({len(line) for line in lines}) == 1
    assert not [cell for line in lines for cell in line if cell.startswith(FORMULA)]


def test_markdown_tables_keep_their_columns(shown: Report) -> None:
    width = 0
    for line in to_markdown(shown).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = 0
            continue
        assert cells == (width or cells), line
        width = cells


def test_markdown_has_no_markup_of_others() -> None:
    text = to_markdown(presentable(hostile()))

    assert not re.search(r"<\w|</", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http://" not in text
    assert not re.search(r"^# heading", text, re.MULTILINE)


def test_markdown_shows_names_and_numbers_plainly() -> None:
    rows = (ok("vmap(jacrev)", 1.0), ok("b", 2.0), ok("reverse_loop", 3.0))
    text = to_markdown(presentable(report(case("a/1", *rows))))

    assert "### `a/1`" in text
    assert "`vmap(jacrev)` is the fastest" in text
    assert "\\" not in text


def test_json_is_read_back(tmp_path: Path) -> None:
    for found in REPORTS.values():
        assert from_json(to_json(found)) == found
        write_report(found, tmp_path)
        assert read_results(tmp_path) == presentable(found)
    assert json.loads(to_json(example()))["schema"] == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 2, "cases": [{}]}', "nan"]
)
def test_other_json_is_refused(text: str) -> None:
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
def test_a_torn_line_is_refused(line: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match="results"):
        case_from_json(line)


def test_another_schema_is_refused() -> None:
    with pytest.raises(jacengine.ArgumentError, match="schema 99"):
        from_json('{"schema": 99}')


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


def test_files_are_replaced_and_nothing_is_left_beside(tmp_path: Path) -> None:
    for found in REPORTS.values():
        assert write_report(found, tmp_path / "new") == tmp_path / "new" / "report.html"

    names = {"report.html", "report.md", "results.csv", "results.json"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names


def test_no_folder_of_anybody_is_told(tmp_path: Path) -> None:
    places = [
        str(Path.home() / "secret" / "file.py"),
        str(Path.cwd() / "secret" / "file.py"),
        "/home/somebody/secret/file.py",
        "/Users/some body/secret/file.py",
        "C:\\Users\\some body\\secret\\file.py",
        "~/somebody/secret/file.py",
        "file:///home/somebody/secret/file.py",
    ]
    for place in places:
        row = Row(place, "error", f"raised in '{place}', line 3")
        found = replace(case(place, row), failure=place, description=place)
        command = f"python -m example --out={place}"
        write_report(replace(report(found), command=command), tmp_path)
        for path in tmp_path.iterdir():
            text = path.read_text(encoding="utf-8")
            assert "file.py" in text.replace("\\", "").replace("<wbr>", "")
            assert not re.search(r"secret|some ?body|Users|/home/", text), place


def test_addresses_and_fractions_are_no_folders() -> None:
    for text in ("see https://example.org/a/b", "1/2 of a/b", "fwd/bwd/loss"):
        found = presentable(report(replace(case("a"), failure=text))).cases[0]
        assert found.failure == text


def test_every_hostile_name_is_one_line() -> None:
    shown = presentable(hostile())

    for found in shown.cases:
        assert found.name
        assert found.name.isprintable()
    assert len({found.name for found in shown.cases}) > len(HOSTILE) - 3
