"""The two figures of a case: how long each candidate takes, and with how much memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jacengine.report.case import Row
from jacengine.report.formats import ratio, seconds, size
from jacengine.report.labels import Spot, place
from jacengine.report.standing import BASELINE, Standing
from jacengine.report.svg import colour, inline_svg
from jacengine.report.text import clipped

WIDTH = 460
"""Of a figure, in CSS pixels; a page scales it."""
LETTERS = 24
"""Longer names are cut."""
FONT = 11.5
_DOT = 72


def bars(standing: Standing, *, salt: str) -> Markup | None:
    """Draw the times as bars, relative to the fastest, on a logarithmic axis."""
    timed = [row for row in standing.rows if standing.relative(row) is not None]
    if not timed:
        return None
    names = names_of(standing, timed)
    factors = [standing.relative(row) or 1.0 for row in timed]
    height = 24 * len(timed) + 44
    figure, axes = _blank(height)
    axes.set_position((0.345, 38 / height, 0.5, 1 - 42 / height))
    low, high = 0.7, max(2.0, 1.15 * max(factors))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(timed) - 0.5, -0.5)
    axes.grid(visible=True, axis="x", color=colour("line"), linewidth=1)
    axes.set_axisbelow(True)
    for place_, (row, factor) in enumerate(zip(timed, factors, strict=True)):
        finished = row.outcome == "ok"
        shade = colour(_shade(standing, row))
        axes.barh(
            place_,
            factor - low,
            left=low,
            height=0.56,
            facecolor=shade if finished else "none",
            edgecolor=shade,
            linewidth=1,
            linestyle="-" if finished else (0, (3, 2)),
        )
        said = seconds(row.time_s) if finished else f"{seconds(row.time_s)}, {row.outcome}"
        axes.annotate(
            clipped(said, LETTERS),
            (factor, place_),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=FONT,
            fontweight="bold" if row is standing.winner else "normal",
            color=colour("ink" if finished else "bad"),
            annotation_clip=False,
        )
    axes.set_yticks(range(len(timed)), names)
    _ratio_ticks(axes, low, high)
    axes.set_xlabel("time relative to the fastest", labelpad=6)
    _style(axes)
    label = "Times relative to the fastest: " + "; ".join(
        f"{name} {ratio(factor)}" for name, factor in zip(names, factors, strict=True)
    )
    return inline_svg(figure, label=label, salt=salt)


def scatter(standing: Standing, *, salt: str) -> Markup | None:
    """Draw time against peak memory, and the front that nothing beats in both."""
    known = [
        row
        for row in standing.rows
        if row.outcome == "ok" and row.time_s and row.memory_bytes
    ]
    if not known:
        return None
    height = 24 * max(len(known), 9) + 44
    figure, axes = _blank(height)
    axes.set_position((0.16, 38 / height, 0.81, 1 - 50 / height))
    axes.set_xscale("log")
    axes.set_yscale("log")
    times = [row.time_s or 0.0 for row in known]
    sizes = [float(row.memory_bytes or 0) for row in known]
    axes.set_xlim(*_padded(times, 0.12))
    axes.set_ylim(*_padded([*sizes, float(standing.case.result_bytes or sizes[0])], 0.14))
    axes.grid(visible=True, color=colour("line"), linewidth=1)
    axes.set_axisbelow(True)
    front = [row for row in standing.front if row in known]
    axes.step(
        [row.time_s or 0.0 for row in front],
        [row.memory_bytes or 0 for row in front],
        where="post",
        color=colour("accent"),
        linewidth=1.4,
        linestyle=(0, (4, 3)),
    )
    for row, time_s, peak in zip(known, times, sizes, strict=True):
        shade = colour(_shade(standing, row))
        axes.plot(
            time_s,
            peak,
            "o",
            markersize=8.5,
            markerfacecolor="none" if row.peak_bytes is None else shade,
            markeredgecolor=shade,
            markeredgewidth=1.5,
        )
    for locator, axis, text in (
        (_spaced(*axes.get_xlim()), axes.xaxis, seconds),
        (_spaced(*axes.get_ylim()), axes.yaxis, size),
    ):
        axis.set_major_locator(FixedLocator(locator))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda x, _, text=text: text(x)))
    axes.set_xlabel("time", labelpad=6)
    _style(axes)
    _name_points(axes, standing, known, front)
    label = "Peak memory against time. Not beaten in both: " + "; ".join(
        f"{row.strategy} {seconds(row.time_s)} {size(row.memory_bytes)}" for row in front
    )
    return inline_svg(figure, label=label, salt=salt)


def names_of(standing: Standing, rows: Sequence[Row]) -> list[str]:
    """Name rows for a figure; one strategy's rows are told apart by their chunks."""
    every = [row.strategy for row in standing.rows]
    return [
        clipped(row.strategy, LETTERS)
        if every.count(row.strategy) == 1
        else f"{clipped(row.strategy, LETTERS - 6)} / {row.chunk_size}"
        for row in rows
    ]
