"""A selection as HTML, for notebooks."""

from __future__ import annotations

import html

from jacengine.problem.problem import Problem
from jacengine.selection.budget import format_bytes
from jacengine.selection.explain import as_frame, summary
from jacengine.selection.select import Selection
from jacengine.timing import format_seconds

_FORMATS = {
    "time_s": ("time", format_seconds),
    "peak_bytes": ("peak", lambda size: format_bytes(int(size))),
    "predicted_bytes": ("predicted", lambda size: format_bytes(int(size))),
}
"""Columns of numbers, what they are called with a unit in each cell, and how."""


def as_html(problem: Problem, selection: Selection) -> str:
    """Return summary and table; all text is escaped."""
    frame = as_frame(selection)
    shown = frame[["strategy", "chunk_size"]].astype("object")
    for name, (title, write) in _FORMATS.items():
        shown[title] = frame[name].map(write, na_action="ignore")
    shown["outcome"], shown["notes"] = frame["outcome"], frame["reason"]
    shown = shown.rename(columns={"chunk_size": "chunk"})
    said = "<br>".join(map(html.escape, summary(problem, selection).splitlines()))
    table = shown.to_html(
        index=False, na_rep="", border=0, float_format="{:.0f}".format
    )
    return f"<p>{said}</p>{table}"
