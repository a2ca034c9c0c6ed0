"""The files of a report, each written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from jacengine.report.case import Report, presentable
from jacengine.report.html import to_html
from jacengine.report.markdown import to_markdown
from jacengine.report.results import to_csv, to_json


def write_report(report: Report, folder: str | Path) -> Path:
    """Write `report.html`, `report.md`, `results.csv` and `results.json`.

    Args:
        report: What to write.
        folder: Where; made if it is missing, and files of these names are replaced.

    Returns:
        The path of `report.html`, which needs none of the other files.
    """
    shown = presentable(report)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    _replace(place / "results.json", to_json(shown))
    _replace(place / "results.csv", to_csv(shown))
    _replace(place / "report.md", to_markdown(shown))
    _replace(place / "report.html", to_html(shown))
    return place / "report.html"


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
