"""What the figures of a report share: size, colours, ticks, names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jacengine.report.case import Row
from jacengine.report.figures.svg import colour
from jacengine.report.formatting import TIMES, clipped
from jacengine.report.ranking import BASELINE, Standing

WIDTH = 430
"""Of a figure, in CSS pixels; the page scales it."""
FONT = 12.0
LETTERS = 22
"""Longer names are cut."""
_MOST_TICKS = 5


def blank(
    height: float, *, left: float, right: float, above: float = 8
) -> tuple[Figure, Axes]:
    """Make a figure with one pair of axes, its margins in pixels."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    below = 44
    box = (
        left / WIDTH,
        below / height,
        1 - (left + right) / WIDTH,
        1 - (above + below) / height,
    )
    axes = figure.add_axes(box)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=colour("line"), linewidth=1)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, pad=6, labelsize=FONT, labelcolor=colour("muted"))
    return figure, axes


def titled(axis: Axis, title: str) -> None:
    """Say below or beside an axis what it shows."""
    axis.set_label_text(title, fontsize=FONT, color=colour("muted"))
    axis.labelpad = 8


def ticks(axis: Axis, places: Sequence[float], text: Callable[[float], str]) -> None:
    """Put ticks where told, and nowhere else."""
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def times(value: float) -> str:
    """Write a tick that is a multiple."""
    return f"{value:,.10g}{TIMES}"


def spaced(low: float, high: float) -> list[float]:
    """Choose round numbers between two limits of a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**n for n in range(first, last + 1)]
    for steps in ((1, 1.2, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [p * s for p in powers for s in steps if low <= p * s <= high]
        if len(found) <= _MOST_TICKS:
            return found
    return found[:: -(-len(found) // _MOST_TICKS)]


def around(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little beyond the values, at least a factor of 4 apart."""
    low, high = min(values), max(values)
    margin = max((high / low) ** 0.1, 1.25, 2 / (high / low) ** 0.5)
    return low / margin, high * margin


def shade(standing: Standing, row: Row) -> str:
    """Choose a row's colour: by its place in the case, or else by whose it is."""
    if row.outcome in {"wrong", "nonfinite"}:
        return colour("bad")
    if row is standing.winner:
        return colour("accent")
    if row.kind == "auto":
        return colour("ink")
    if row.strategy == BASELINE:
        return colour("baseline")
    return colour("library" if row.kind == "library" else "bar")


def names(standing: Standing, rows: Sequence[Row]) -> list[str]:
    """Name rows; one strategy's are told apart by their chunks."""
    every = [row.strategy for row in standing.rows]
    return [
        clipped(row.strategy, LETTERS)
        if every.count(row.strategy) == 1
        else f"{clipped(row.strategy, LETTERS - 6)} /{row.chunk_size}"
        for row in rows
    ]
