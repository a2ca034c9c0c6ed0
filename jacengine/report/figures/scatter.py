"""Time against memory, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from jacengine.problem.quantity import TITLES
from jacengine.report.figures.axes import (
    FONT,
    STYLE,
    log_axis,
    log_limits,
    new_axes,
    row_colour,
    row_labels,
)
from jacengine.report.figures.labels import Box, place_labels
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import seconds, size
from jacengine.report.ranking import Ranking

_HEIGHT = 302
_LETTER_WIDTH, _LINE_HEIGHT = 0.56 * FONT, 1.2 * FONT
_FAR = 4
"""A budget beyond this multiple of the highest peak is not drawn."""


@mpl.rc_context(STYLE)
def memory_scatter(ranking: Ranking, *, salt: str) -> Markup | None:
    """Draw time and peak memory of verified rows; `None` if no method has both.

    A point is hollow where its memory is predicted and not measured.
    """
    rows = [row for row in ranking.timed if row.memory_bytes]
    if not rows or not ranking.pareto_front:
        return None
    times = [row.time_s or 0.0 for row in rows]
    peaks = [float(row.memory_bytes or 0) for row in rows]
    limits = _limits(ranking, max(peaks))
    axes = new_axes(_HEIGHT, left=72, right=8, top=30)
    log_axis(axes, "x", log_limits(times), EngFormatter("s"))
    values = [*peaks, *(limit for _, limit, _ in limits)]
    log_axis(axes, "y", log_limits(values), EngFormatter("B"))
    axes.set_xlabel("time")
    axes.set_title("peak memory", pad=10)
    in_front = [row in ranking.pareto_front for row in rows]
    points = list(zip(times, peaks, strict=True))
    front = [point for point, good in zip(points, in_front, strict=True) if good]
    axes.step(
        [x for x, _ in front],
        [y for _, y in front],
        where="post",
        color=colour("accent"),
        linewidth=1.5,
        linestyle=(0, (4, 3)),
    )
    colours = [row_colour(ranking, row) for row in rows]
    faces = zip(rows, colours, strict=True)
    axes.scatter(
        times,
        peaks,
        s=81,
        facecolors=[
            "none" if row.peak_bytes is None else paint for row, paint in faces
        ],
        edgecolors=colours,
        linewidths=1.5,
        zorder=3,
    )
    for text, limit, paint in limits:
        axes.axhline(limit, color=colour(paint), linewidth=1)
        axes.annotate(
            text,
            (0, limit),
            (2, 3 if limit > max(peaks) else -12),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=FONT - 1,
            color=colour(paint),
        )
    _annotate(axes, row_labels(ranking, rows), points, in_front, front)
    values_of_front = "; ".join(
        f"{row.strategy} {seconds(row.time_s)} {size(row.memory_bytes)}"
        for row in rows
        if row in ranking.pareto_front
    )
    label = f"Peak memory against time. Pareto front: {values_of_front}"
    return inline_svg(axes, label=label, salt=salt)


def _limits(ranking: Ranking, highest: float) -> list[tuple[str, float, str]]:
    """List the bounds of the peaks, each with its name and colour.

    A budget far above every peak is left out: it excluded nothing.
    """
    found: list[tuple[str, float, str]] = []
    case = ranking.case
    if case.result_bytes:
        found.append((f"the {TITLES[case.quantity]}", case.result_bytes, "muted"))
    if case.budget_bytes and case.budget_bytes <= _FAR * highest:
        found.append(("budget", case.budget_bytes, "bad"))
    return found


def _annotate(
    axes: Axes,
    labels: Sequence[str],
    points: Sequence[tuple[float, float]],
    in_front: Sequence[bool],
    front: Sequence[tuple[float, float]],
) -> None:
    """Label the points of the front, and the others where there is room."""
    corners = axes.transData.transform(front)
    boxes = place_labels(
        [(float(x), float(y)) for x, y in axes.transData.transform(points)],
        [(_LETTER_WIDTH * len(label), _LINE_HEIGHT) for label in labels],
        in_front,
        np.array(axes.get_window_extent().extents),
        [box for a, b in pairwise(corners) for box in _step(a, b)],
    )
    for label, box, required in zip(labels, boxes, in_front, strict=True):
        if box is not None:
            axes.annotate(
                label,
                (box[0], (box[1] + box[3]) / 2),
                xycoords="figure pixels",
                va="center",
                color=colour("ink" if required else "muted"),
            )


def _step(start: Box, end: Box) -> tuple[Box, Box]:
    """Return the horizontal and the vertical part of a step, as boxes."""
    (x0, y0), (x1, y1) = start, end
    return np.array([x0, y0, x1, y0 + 1]), np.array([x1, y1, x1 + 1, y0])
