"""The files of a report, each replaced atomically."""

from __future__ import annotations

from pathlib import Path

from jacengine._files import replace_file
from jacengine.report.case import Report, sanitize
from jacengine.report.documents import to_html, to_markdown
from jacengine.report.results import to_csv, to_json

_WRITERS = {
    "results.json": to_json,
    "results.csv": to_csv,
    "report.md": to_markdown,
    "report.html": to_html,
}


def write_report(report: Report, folder: str | Path) -> Path:
    """Write `report.html`, `report.md`, `results.csv` and `results.json`.

    Args:
        report: The report.
        folder: The folder; created if it is missing. Files of these names are replaced.

    Returns:
        The path of `report.html`, which needs none of the other files.
    """
    sanitized, folder = sanitize(report), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in _WRITERS.items():
        replace_file(folder / name, write(sanitized))
    return folder / "report.html"
