"""The page in a browser: sorting, filtering, and reading without scripts."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jacengine.report.case import sanitize
from jacengine.report.documents import to_html
from tests.report.build import sweep

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))),
    None,
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--dump-dom"),
    *("--disable-component-update", "--disable-sync"),
)

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.slow,
]


def shown(page: str, folder: Path) -> str:
    """Return the document after its scripts have run."""
    assert BROWSER is not None
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'user'}", path.as_uri()]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, timeout=60
    )
    return done.stdout


def after(action: str, folder: Path) -> str:
    """Run a script after that of the page, which its policy would not allow."""
    page = re.sub("<meta http-equiv[^>]*>", "", to_html(sanitize(sweep(12))))
    return shown(page.replace("</body>", f"<script>{action}</script></body>"), folder)


def column(document: str, place: int) -> list[float]:
    table = document.partition('<table class="sortable beside">')[2]
    body = table.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*?(?: data-v=\"([^\"]*)\")?>", r) for r in _rows(body)]
    return [float(cells[place - 1]) for cells in rows if cells[place - 1]]


def _rows(body: str) -> list[str]:
    return re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)


def test_the_policy_of_the_page_allows_its_script(tmp_path: Path) -> None:
    document = shown(to_html(sanitize(sweep(12))), tmp_path)

    assert 'placeholder="Filter rows"' in document
    assert 'placeholder="Filter workloads"' in document


def test_columns_are_sorted_by_their_values(tmp_path: Path) -> None:
    title = "document.querySelectorAll('table.beside th button')[1]"

    up = column(after(f"{title}.click()", tmp_path), 1)
    down = column(after(f"{title}.click(); {title}.click()", tmp_path), 1)

    assert len(up) > 10
    assert up == sorted(up)
    assert down == up[::-1]


def test_rows_are_filtered_by_words(tmp_path: Path) -> None:
    action = (
        "const input = document.querySelector('.filter input');"
        "input.value = 'WORKLOAD_03 100'; input.dispatchEvent(new Event('input'))"
    )
    document = after(action, tmp_path)
    table = document.partition('<table class="sortable beside">')[2]
    body = table.partition("<tbody>")[2].partition("</tbody>")[0]
    visible = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)

    assert len(visible) == 2
    assert all("workload_<wbr>03[100" in row for row in visible)


def test_a_link_opens_the_workload_that_it_leads_to(tmp_path: Path) -> None:
    document = after("location.hash = 'workload-2'", tmp_path)
    workload = document.partition('<article id="workload-2">')[0]

    assert re.findall(r"<details class=\"workload\"[^>]*>", workload)[-1].endswith(
        'open="">'
    )
