"""The files of a report, each replaced atomically."""

from __future__ import annotations

from pathlib import Path

from jacengine._extras import require_report
from jacengine._files import replace_file
from jacengine.report.case import Report, sanitize
from jacengine.report.results import to_csv, to_json


def write_report(report: Report, folder: str | Path) -> Path:
    """Write `report.html`, `report.md`, `results.csv` and `results.json`.

    Args:
        report: The report.
        folder: The folder; created if it is missing. Files of these names are replaced.

    Returns:
        The path of `report.html`, which needs none of the other files.

    Raises:
        MissingExtraError: What draws the report is not installed.
    """
    require_report("A report")
    from jacengine.report.documents import (  # noqa: PLC0415 - it imports the extra
        to_html,
        to_markdown,
    )

    sanitized, folder = sanitize(report), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    writers = {
        "results.json": to_json,
        "results.csv": to_csv,
        "report.md": to_markdown,
        "report.html": to_html,
    }
    for name, write in writers.items():
        replace_file(folder / name, write(sanitized))
    return folder / "report.html"
