"""The report as Markdown, for a repository."""

from __future__ import annotations

import re

from jacengine.report.case import Report
from jacengine.report.formatting import render_names, truncated
from jacengine.report.ranking import Ranking
from jacengine.report.rendering import render

_PLAIN = re.compile(r"[\w.:+()/-](?:[\w .:+()/-]*[\w.:+()/-])?")
_SPECIAL = re.compile(
    r"[\\`*\[\]#~|$!@]|(?<!\w)_|_(?!\w)|^[-+=](?=[ -])|^\d+(?=[.)](?:\s|$))"
)


def to_markdown(report: Report) -> str:
    """Write the report; of workloads in several sizes, without every candidate."""
    rankings = [Ranking(case) for case in report.cases]
    filters = {"code": _code, "escaped": _escaped, "sentence": _sentence}
    return render("report.md.jinja", report, rankings, filters=filters)


def _escaped(text: str) -> str:
    """Escape a text so that Markdown shows it literally, in a table too."""
    text = _SPECIAL.sub(lambda found: "".join(f"\\{char}" for char in found[0]), text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def _code(name: str) -> str:
    """Format a name as code, unless a table could not show it as code."""
    return f"`{name}`" if _PLAIN.fullmatch(name) else _escaped(name)


def _sentence(sentence: str) -> str:
    return render_names(sentence, lambda name: _code(truncated(name, 60)), _escaped)
