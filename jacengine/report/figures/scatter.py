"""Time against memory, with the front that nothing beats in both."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes

from jacengine.problem.quantity import TITLES
from jacengine.report.case import Row
from jacengine.report.figures.axes import (
    FONT,
    around,
    blank,
    names,
    shade,
    spaced,
    ticks,
    titled,
)
from jacengine.report.figures.labels import Box, place
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import seconds, size
from jacengine.report.ranking import Standing

_HEIGHT = 302
_LETTER = 0.56 * FONT
_LINE = 1.2 * FONT
_FAR = 4
"""A budget this many times the highest peak is not drawn."""
_Point = tuple[float, float]


def scatter(standing: Standing, *, salt: str) -> Markup | None:
    """Draw time and peak memory of what is right; `None` if neither is known.

    A point is hollow where its memory is predicted and not measured.
    """
    known = [
        (row, row.time_s, row.memory_bytes)
        for row in standing.rows
        if row.outcome == "ok" and row.time_s and row.memory_bytes
    ]
    if not known:
        return None
    rows = [row for row, _, _ in known]
    times = [time_s for _, time_s, _ in known]
    peaks = [float(peak) for _, _, peak in known]
    figure, axes = blank(_HEIGHT, left=72, right=8, above=30)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*around(times))
    highest = max(peaks)
    limits = _limits(standing, highest)
    axes.set_ylim(*around([*peaks, *(float(size) for _, size, _ in limits)]))
    best = [row in standing.front for row in rows]
    points = list(zip(times, peaks, strict=True))
    steps = _steps([point for point, good in zip(points, best, strict=True) if good])
    axes.plot(
        [x for x, _ in steps],
        [y for _, y in steps],
        color=colour("accent"),
        linewidth=1.5,
        linestyle=(0, (4, 3)),
    )
    for row, time_s, peak in known:
        paint = shade(standing, row)
        axes.plot(
            time_s,
            peak,
            "o",
            markersize=9,
            markerfacecolor="none" if row.peak_bytes is None else paint,
            markeredgecolor=paint,
            markeredgewidth=1.5,
            zorder=4 if row is standing.winner else 3,
        )
    ticks(axes.xaxis, spaced(*axes.get_xlim()), seconds)
    ticks(axes.yaxis, spaced(*axes.get_ylim()), lambda y: size(y).replace(".0 ", " "))
    titled(axes.xaxis, "time")
    axes.set_title(
        "peak memory", loc="left", fontsize=FONT, color=colour("muted"), x=0, pad=10
    )
    for text, limit, paint in limits:
        axes.axhline(limit, color=colour(paint), linewidth=1)
        axes.annotate(
            text,
            (0, limit),
            (2, 3 if limit > highest else -12),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=FONT - 1,
            color=colour(paint),
        )
    _names(axes, names(standing, rows), points, best, steps)
    said = "; ".join(_said(row) for row in rows if row in standing.front)
    return inline_svg(
        figure,
        label=f"Peak memory against time. Not beaten in both: {said}",
        salt=salt,
    )


def _limits(standing: Standing, highest: float) -> list[tuple[str, int, str]]:
    """List what peaks lie between, each with its name and colour.

    A budget far above every peak is left out: it bounded nothing.
    """
    found: list[tuple[str, int, str]] = []
    case = standing.case
    if case.result_bytes:
        found.append((f"the {TITLES[case.quantity]}", case.result_bytes, "muted"))
    if case.budget_bytes and case.budget_bytes <= _FAR * highest:
        found.append(("budget", case.budget_bytes, "bad"))
    return found


def _said(row: Row) -> str:
    return f"{row.strategy} {seconds(row.time_s)} {size(row.memory_bytes)}"


def _steps(points: Sequence[_Point]) -> list[_Point]:
    """Join the front's points by steps: slower first, then less memory."""
    corners = [(x, y) for (_, y), (x, _) in itertools.pairwise(points)]
    pairs = zip(points, [*corners, None], strict=True)
    return [point for pair in pairs for point in pair if point is not None]


def _names(
    axes: Axes,
    texts: Sequence[str],
    points: Sequence[_Point],
    needed: Sequence[bool],
    steps: Sequence[_Point],
) -> None:
    """Name the points of the front, and the others where there is room."""

    def pixels(places: Sequence[_Point]) -> list[_Point]:
        found = [axes.transData.transform(place) for place in places]
        return [(float(x), float(y)) for x, y in found]

    bends = pixels(steps)
    window = axes.get_window_extent()
    boxes = place(
        pixels(points),
        [(_LETTER * len(text), _LINE) for text in texts],
        needed,
        Box(window.x0, window.y0, window.width, window.height),
        [
            Box(min(a, c), min(b, d), abs(a - c) + 1, abs(b - d) + 1)
            for (a, b), (c, d) in itertools.pairwise(bends)
        ],
    )
    for text, box, important in zip(texts, boxes, needed, strict=True):
        if box is not None:
            axes.annotate(
                text,
                (box.left, box.bottom + box.height / 2),
                xycoords="figure pixels",
                va="center",
                fontsize=FONT,
                color=colour("ink" if important else "muted"),
            )
