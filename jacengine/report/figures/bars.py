"""The times of all candidates, as bars on a logarithmic axis."""

from __future__ import annotations

import matplotlib as mpl
from markupsafe import Markup

from jacengine.report.figures.axes import (
    FACTOR_FORMAT,
    STYLE,
    colour,
    inline_svg,
    log_axis,
    margin,
    new_axes,
    row_colour,
    row_labels,
)
from jacengine.report.formatting import ratio, seconds, truncated
from jacengine.report.ranking import Ranking

_ROW_HEIGHT = 25
_START = 0.75
"""The left end of the bars: below 1, so that the fastest has a bar."""


@mpl.rc_context(STYLE)
def time_bars(ranking: Ranking, *, salt: str) -> Markup | None:
    """Draw times relative to the fastest; `None` if nothing was timed.

    The bar of a candidate that is wrong or was stopped is hollow.
    """
    relative = [(row, ranking.relative_time(row)) for row in ranking.rows]
    timed = [(row, factor) for row, factor in relative if factor]
    if not timed:
        return None
    labels = row_labels(ranking, [row for row, _ in timed])
    colours = [row_colour(ranking, row) for row, _ in timed]
    axes = new_axes(_ROW_HEIGHT * len(timed) + 52, left=margin(labels), right=66)
    bars = axes.barh(
        range(len(timed)),
        [max(factor - _START, 1e-9) for _, factor in timed],
        left=_START,
        height=0.58,
        color=colours,
        edgecolor=colours,
    )
    times = [
        seconds(row.time_s)
        if row.outcome == "ok"
        else truncated(f"{seconds(row.time_s)} {row.outcome}", 16)
        for row, _ in timed
    ]
    texts = axes.bar_label(bars, times, padding=6, annotation_clip=False)
    for (row, _), bar, text in zip(timed, bars, texts, strict=True):
        if row.outcome != "ok":
            bar.set(facecolor="none", linestyle=(0, (3, 2)))
        if row is ranking.winner:
            text.set_fontweight("bold")
    largest = 1.05 * max(2.0, *(factor for _, factor in timed))
    log_axis(axes, "x", (_START, largest), FACTOR_FORMAT)
    axes.set_xlabel("time relative to the fastest")
    axes.set_ylim(len(timed) - 0.5, -0.5)
    axes.set_yticks(range(len(timed)), labels, color=colour("ink"))
    axes.grid(visible=False, axis="y")
    values = (f"{name} {ratio(f)}" for name, (_, f) in zip(labels, timed, strict=True))
    label = f"Times relative to the fastest: {'; '.join(values)}"
    return inline_svg(axes, label=label, salt=salt)
