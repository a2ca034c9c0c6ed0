import re

import pytest

from jacengine.report import Report
from jacengine.report.case import sanitize
from jacengine.report.documents import to_html, to_markdown
from tests.report.build import (
    REPORTS,
    Page,
    case,
    example,
    hostile,
    ok,
    report,
    sweep,
)


@pytest.fixture(scope="module", params=list(REPORTS))
def text(request: pytest.FixtureRequest) -> str:
    return to_html(sanitize(REPORTS[request.param]))


def test_page_is_well_formed(text: str) -> None:
    page = Page(text)

    assert page.open == []
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in page.attributes if name.endswith("href")}
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_page_is_self_contained(text: str) -> None:
    page = Page(text)

    assert {"script", "link", "img", "iframe", "object", "base"}.isdisjoint(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name.endswith(("href", "src")):
            assert value.startswith("#"), value
        assert "://" not in value or name in {"title", "aria-label"}, value
    assert not re.search(r"url\((?!#)|@import|@font-face", text)


def test_hostile_names_are_shown_literally() -> None:
    sanitized = sanitize(hostile())
    text = Page(to_html(sanitized)).text

    for found in sanitized.cases:
        if len(found.name) < 60:
            assert found.name in text


def test_names_in_figures_are_escaped() -> None:
    name = "<b>&\"'"
    text = to_html(sanitize(report(case(name, ok(name, 1.0, 9), ok("x", 2.0, 5)))))

    assert "<b>" not in text
    assert "&lt;b&gt;" in text.split("<svg", 1)[1].split("</svg>", 1)[0]


def test_figures_use_the_colours_of_the_page() -> None:
    text = to_html(sanitize(example()))

    assert text.count("<svg") == 6
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--accent)" in drawn
    assert re.findall(r"#[0-9a-f]{6}\b", drawn) == []
    assert "font-family" not in drawn


def test_measured_rates_are_stated() -> None:
    text = Page(to_html(sanitize(sweep(1)))).text

    assert "8.0 GB/s" in text
    assert "100 GFLOP/s" in text


def test_markdown_tables_keep_their_columns(sanitized: Report) -> None:
    width = 0
    for line in to_markdown(sanitized).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = 0
            continue
        assert cells == (width or cells), line
        width = cells


def test_foreign_markup_is_escaped_in_markdown() -> None:
    text = to_markdown(sanitize(hostile()))

    assert not re.search(r"<\w|</", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http://" not in text
    assert not re.search(r"^# heading", text, re.MULTILINE)


def test_plain_names_and_numbers_are_not_escaped_in_markdown() -> None:
    rows = (ok("vmap(jacrev)", 1.0), ok("b", 2.0), ok("reverse_loop", 3.0))
    text = to_markdown(sanitize(report(case("a/1", *rows))))

    assert "### `a/1`" in text
    assert "`vmap(jacrev)` is the fastest" in text
    assert "\\" not in text
