"""Time against memory, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import EngFormatter
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray

from jacengine.problem.quantity import TITLES
from jacengine.report.figures.axes import (
    FONT,
    LETTER_WIDTH,
    STYLE,
    colour,
    inline_svg,
    log_axis,
    log_limits,
    new_axes,
    row_colour,
    row_labels,
)
from jacengine.report.formatting import seconds, size
from jacengine.report.ranking import Ranking

_HEIGHT = 302
_LINE_HEIGHT = 1.2 * FONT
_GAP, _ABOVE, _NEAR = 9.0, 7.0, 3.0
"""Pixels between a point and its label: beside it, above it, beside and above it."""
_RINGS = (22.0, 40.0, 60.0, 80.0)
"""Pixels between a point and a label that has no room next to it, and a line to it."""
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
    points = list(zip(times, peaks, strict=True))
    in_front = [row in ranking.pareto_front for row in rows]
    front = [point for point, good in zip(points, in_front, strict=True) if good]
    axes.step(
        *zip(*front, strict=True),
        where="post",
        color=colour("accent"),
        linewidth=1.5,
        linestyle=(0, (4, 3)),
    )
    colours = [row_colour(ranking, row) for row in rows]
    measured = [row.peak_bytes is not None for row in rows]
    faces = [c if m else "none" for c, m in zip(colours, measured, strict=True)]
    axes.scatter(
        times,
        peaks,
        s=81,
        facecolors=faces,
        edgecolors=colours,
        linewidths=1.5,
        zorder=3,
    )
    written: list[Bbox] = []
    for text, limit, paint in limits:
        axes.axhline(limit, color=colour(paint), linewidth=1)
        corner = axes.transData.transform((times[0], limit))[1]
        corner += 3 if limit > max(peaks) else -12
        left = axes.get_window_extent().x0 + 2
        width = LETTER_WIDTH * len(text)
        written.append(Bbox.from_bounds(left, corner, width, FONT - 1))
        axes.annotate(
            text,
            (0, limit),
            (2, 3 if limit > max(peaks) else -12),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=FONT - 1,
            color=colour(paint),
        )
    labels = row_labels(ranking, rows)
    boxes = place_labels(
        axes.transData.transform(points).tolist(),
        [LETTER_WIDTH * len(label) for label in labels],
        in_front,
        axes.get_window_extent(),
        axes.transData.transform(front).tolist(),
        written=written,
    )
    for label, box, point in zip(labels, boxes, points, strict=True):
        if box is None:
            continue
        x, y = axes.transData.transform(point)
        nearest = np.clip((x, y), box.min, box.max)
        if np.hypot(*(nearest - (x, y))) > _RINGS[0] - 1:
            ends = axes.transData.inverted().transform([(x, y), nearest])
            axes.plot(*ends.T, color=colour("muted"), linewidth=0.8, zorder=2)
        axes.annotate(
            label,
            (box.x0, (box.y0 + box.y1) / 2),
            xycoords="figure pixels",
            va="center",
            color=colour("ink" if point in front else "muted"),
        )
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


def place_labels(
    points: Sequence[tuple[float, float]],
    widths: Sequence[float],
    required: Sequence[bool],
    frame: BboxBase,
    front: Sequence[tuple[float, float]] = (),
    *,
    written: Sequence[Bbox] = (),
) -> list[Bbox | None]:
    """Place a label at each point, in pixels, so that none covers another.

    A label that must appear is placed further off where there is no room at its point.

    Args:
        points: The positions of the points.
        widths: The widths of the labels.
        required: Whether a label must appear even if it covers something; the others
            appear where there is room.
        frame: The area for labels.
        front: The corners of a line of steps that labels should not cover.
        written: Boxes of other text.

    Returns:
        A box, or `None` where there is no room.
    """
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in points]
    for (x0, y0), (x1, y1) in pairwise(front):
        taken.append(Bbox.from_extents(x0, y0, x1, y0 + 1))
        taken.append(Bbox.from_extents(x1, y1, x1 + 1, y0))
    taken += written
    placed: list[Bbox | None] = [None] * len(points)
    for i in sorted(range(len(points)), key=lambda i: not required[i]):
        others = np.array([box.extents for box in taken[:i] + taken[i + 1 :]])
        covered = {
            box: overlap(box, others.reshape(-1, 4))
            for box in _boxes(*points[i], widths[i], far=required[i])
            if frame.count_contains(box.get_points()) == 2
        }
        best = min(covered, key=covered.__getitem__, default=None)
        if best is not None and (required[i] or not covered[best]):
            placed[i] = best
            taken.append(best)
    return placed


def overlap(box: Bbox, others: NDArray[np.float64]) -> float:
    """Sum the areas that a box shares with others, `(left, bottom, right, top)`."""
    sides = np.minimum(box.max, others[:, 2:]) - np.maximum(box.min, others[:, :2])
    return float(sides.clip(0).prod(axis=1).sum())


def _boxes(x: float, y: float, width: float, *, far: bool) -> list[Bbox]:
    """List the boxes next to a point, the best first: beside it, above, below.

    Those that are further off come last.
    """
    corners = [
        (left, bottom)
        for bottom in (y - _LINE_HEIGHT / 2, y + _NEAR, y - _NEAR - _LINE_HEIGHT)
        for left in (x + _GAP, x - _GAP - width)
    ]
    corners += [
        (x - share * width, bottom)
        for bottom in (y + _ABOVE, y - _ABOVE - _LINE_HEIGHT)
        for share in (0.5, 0.25, 0.75, 0.0, 1.0)
    ]
    for distance in _RINGS if far else ():
        side = distance + 2
        corners += [
            (left, y + slope * distance - _LINE_HEIGHT / 2)
            for slope in (0.0, 0.5, -0.5, 1.0, -1.0)
            for left in (x + side, x - side - width)
        ]
        corners += [
            (x - width / 2, bottom)
            for bottom in (y + distance, y - distance - _LINE_HEIGHT)
        ]
    return [Bbox.from_bounds(*corner, width, _LINE_HEIGHT) for corner in corners]
