"""How long each candidate takes, as bars on a logarithmic axis."""

from __future__ import annotations

from markupsafe import Markup

from jacengine.report.figures.axes import (
    FONT,
    blank,
    names,
    shade,
    spaced,
    ticks,
    times,
    titled,
)
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import clipped, ratio, seconds
from jacengine.report.ranking import Standing

_ROW = 25
_START = 0.75
"""Where bars begin: before 1, so that the fastest has one."""


def bars(standing: Standing, *, salt: str) -> Markup | None:
    """Draw times relative to the fastest; `None` if nothing was timed.

    A candidate that is not right, or was stopped, has a hollow bar.
    """
    found = [(row, standing.relative(row)) for row in standing.rows]
    timed = [(row, factor) for row, factor in found if factor]
    if not timed:
        return None
    labels = names(standing, [row for row, _ in timed])
    figure, axes = blank(_ROW * len(timed) + 52, left=138, right=66)
    last = 1.05 * max(2.0, *(factor for _, factor in timed))
    axes.set_xscale("log")
    axes.set_xlim(_START, last)
    axes.set_ylim(len(timed) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    for place, (row, factor) in enumerate(timed):
        finished = row.outcome == "ok"
        paint = shade(standing, row)
        axes.barh(
            place,
            max(factor, _START) - _START,
            left=_START,
            height=0.58,
            facecolor=paint if finished else "none",
            edgecolor=paint,
            linestyle="-" if finished else (0, (3, 2)),
        )
        time = seconds(row.time_s)
        axes.annotate(
            time if finished else clipped(f"{time} {row.outcome}", 16),
            (max(factor, _START), place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=FONT,
            fontweight="bold" if row is standing.winner else "normal",
            color=colour("ink"),
            annotation_clip=False,
        )
    ticks(axes.xaxis, spaced(1, last), times)
    titled(axes.xaxis, "time relative to the fastest")
    axes.set_yticks(range(len(timed)), labels)
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    said = (f"{name} {ratio(f)}" for name, (_, f) in zip(labels, timed, strict=True))
    return inline_svg(
        figure, label=f"Times relative to the fastest: {'; '.join(said)}", salt=salt
    )
