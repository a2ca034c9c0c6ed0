import re

from jacengine.report import Report
from jacengine.report.case import sanitize
from jacengine.report.markdown import to_markdown
from tests.report.build import case, hostile, ok, report


def test_tables_keep_their_columns(sanitized: Report) -> None:
    width = 0
    for line in to_markdown(sanitized).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            width = 0
            continue
        assert cells == (width or cells), line
        width = cells


def test_foreign_markup_is_escaped() -> None:
    text = to_markdown(sanitize(hostile()))

    assert not re.search(r"<\w|</", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http://" not in text
    assert not re.search(r"^# heading", text, re.MULTILINE)


def test_plain_names_and_numbers_are_not_escaped() -> None:
    rows = (ok("vmap(jacrev)", 1.0), ok("b", 2.0), ok("reverse_loop", 3.0))
    text = to_markdown(sanitize(report(case("a/1", *rows))))

    assert "### `a/1`" in text
    assert "`vmap(jacrev)` is the fastest" in text
    assert "\\" not in text
