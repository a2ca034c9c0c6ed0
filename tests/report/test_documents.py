import base64
import gzip
import hashlib
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

import jacengine
from jacengine.bench.workloads import WORKLOADS
from jacengine.report import Report
from jacengine.report.case import sanitize
from jacengine.report.documents import to_html, to_markdown
from jacengine.report.results import from_json
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

TEMPLATES = Path(jacengine.__file__).parent / "templates"


@pytest.fixture(scope="module", params=list(REPORTS))
def text(request: pytest.FixtureRequest) -> str:
    return to_html(sanitize(REPORTS[request.param]))


def test_page_is_well_formed(text: str) -> None:
    page = Page(text)

    assert page.open == []
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in page.attributes if name.endswith("href")}
    inside = {link for link in links if link.startswith("#")}
    assert {link.removeprefix("#") for link in inside} <= set(ids)
    outside = {link.partition(",")[0] for link in links - inside}
    assert outside == {"results.csv", "results.json", "data:application/gzip;base64"}


def test_page_is_self_contained(text: str) -> None:
    page = Page(text)

    assert {"link", "img", "iframe", "object", "base"}.isdisjoint(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        assert name != "src", value
        assert "://" not in value or name in {"title", "aria-label"}, value
    assert not re.search(r"url\((?!#)|@import|@font-face", text)


def test_one_script_runs_and_it_is_ours(text: str) -> None:
    """A browser runs what has the hash that the page's policy names."""
    page = Page(text)
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    [policy] = re.findall(r'Security-Policy" content="([^"]*)"', text)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert page.tags.count("script") == 1
    assert script.strip() == (TEMPLATES / "report.js").read_text("utf-8").strip()
    assert f"script-src 'sha256-{digest}'" in unescape(policy)
    assert "default-src 'none'" in unescape(policy)


def test_the_page_holds_its_data(sanitized: Report) -> None:
    text = to_html(sanitized)
    [packed] = re.findall(r'href="data:application/gzip;base64,([^"]*)"', text)

    data = gzip.decompress(base64.b64decode(packed)).decode()

    assert from_json(data) == sanitized
    assert text == to_html(sanitized)


def test_papers_are_links_and_other_addresses_are_not() -> None:
    origin = (
        "A, B, 2019, https://arxiv.org/abs/1908.02729; http://evil.example/x, "
        'javascript:alert(1), https://a.example/x"><script>'
    )
    found = replace(sweep(1).cases[0], origin=origin)

    text = to_html(sanitize(report(found)))

    links = re.findall(r'<a href="(http[^"]*)"', text)
    assert links == ["https://arxiv.org/abs/1908.02729", "https://a.example/x"]
    assert "2729</a>; http://evil.example/x, javascript:alert(1), " in text


def test_the_code_of_a_workload_is_shown_as_it_was_measured() -> None:
    code = "# own/models.py\ndef f(x):\n    return x < 1 & x"
    text = to_html(sanitize(report(replace(sweep(1).cases[0], code=code))))

    assert "def f(x):\n    return x &lt; 1 &amp; x" in text
    assert "<small>own/models.py</small>" in text
    assert "measured before" not in text


def test_the_code_of_older_data_is_that_of_today_and_said_to_be() -> None:
    workload = WORKLOADS[0]
    old = replace(
        sweep(1).cases[0], workload=workload.name, description=workload.use, code=""
    )
    text = to_html(sanitize(report(old)))

    assert "jacengine/bench/workloads/networks.py</small>" in text
    assert "measured before reports kept it, at commit 0123456789ab" in text
    other = to_html(sanitize(report(replace(old, description="Another one."))))
    assert "<summary>Code" not in other


def test_a_workload_has_one_factor_of_auto_over_the_best_strategy() -> None:
    """The table of winners states its time, which no other factor contradicts."""
    text = to_html(sanitize(sweep(4)))
    winners = text[text.index('<table class="winners">') :].partition("</table>")[0]

    times = re.findall(r"; auto ([^<]*)</small>", winners)
    assert times
    assert all(
        re.fullmatch("[0-9.]+ (s|ms|\N{MICRO SIGN}s|ns)", each) for each in times
    ), times


def test_every_figure_says_what_it_rests_on() -> None:
    text = to_html(sanitize(sweep(4)))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL)

    assert len(captions) == text.count("<svg")
    for caption in captions:
        assert "Example 9000, 2 threads, PyTorch 2.13.0; medians of 7 rounds" in caption


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
