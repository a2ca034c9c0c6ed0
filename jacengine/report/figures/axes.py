"""The common style of the figures of a report, and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    Formatter,
    Locator,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from jacengine.report.case import Row
from jacengine.report.figures.svg import colour
from jacengine.report.formatting import TIMES, truncated
from jacengine.report.ranking import BASELINE, WRONG, Ranking

WIDTH = 430
"""The width of a figure in CSS pixels; the page scales it."""
FONT = 12.0
LETTERS = 22
"""The length at which names are truncated."""
FACTOR_FORMAT = f"{{x:,.10g}}{TIMES}"
"""The format of a tick that is a factor."""

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": colour("muted"),
    "axes.labelpad": 8,
    "axes.spines.bottom": False,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": colour("muted"),
    "axes.titlelocation": "left",
    "axes.titlesize": FONT,
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "grid.color": colour("line"),
    "grid.linewidth": 1,
    "legend.frameon": False,
    "text.color": colour("ink"),
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.labelcolor": colour("muted"),
    "ytick.labelcolor": colour("muted"),
    "xtick.major.pad": 6,
    "xtick.major.size": 0,
    "ytick.major.pad": 6,
    "ytick.major.size": 0,
}
"""Settings of matplotlib, in which every figure is created."""


def new_axes(height: float, *, left: float, right: float, top: float = 8) -> Axes:
    """Create a figure with one pair of axes, its margins in pixels."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    bottom = 44
    figure.subplots_adjust(
        left / WIDTH, bottom / height, 1 - right / WIDTH, 1 - top / height
    )
    return figure.add_subplot()


def log_axis(
    axes: Axes,
    name: Literal["x", "y"],
    limits: tuple[float, float],
    formatter: Formatter | str,
) -> None:
    """Make an axis logarithmic, with a few round ticks between its limits."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    axes.set(**{f"{name}scale": "log", f"{name}lim": limits})
    axis.set_major_locator(few_ticks(*limits))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(formatter)


def few_ticks(low: float, high: float) -> Locator:
    """Choose at most five round ticks by how far apart the limits are."""
    if high < 8 * low:
        return MaxNLocator(4, steps=[1, 2, 5, 10])
    subs = (1, 2, 5) if high < 40 * low else (1, 3) if high < 100 * low else (1,)
    return LogLocator(subs=subs, numticks=4 if high < 1e6 * low else 3)


def log_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little beyond the values, at least a factor of 4 apart."""
    low, high = min(values), max(values)
    margin = max((high / low) ** 0.1, 1.25, 2 / (high / low) ** 0.5)
    return low / margin, high * margin


def row_colour(ranking: Ranking, row: Row) -> str:
    """Choose a row's colour by its result, or else by its kind."""
    if row.outcome in WRONG:
        return colour("bad")
    if row is ranking.winner:
        return colour("accent")
    if row.kind == "auto":
        return colour("ink")
    if row.strategy == BASELINE:
        return colour("baseline")
    return colour("library" if row.kind == "library" else "bar")


def row_labels(ranking: Ranking, rows: Sequence[Row]) -> list[str]:
    """Name rows; those of one strategy are distinguished by their chunk sizes."""
    names = [row.strategy for row in ranking.rows]
    return [
        truncated(row.strategy, LETTERS)
        if names.count(row.strategy) == 1
        else f"{truncated(row.strategy, LETTERS - 6)} /{row.chunk_size}"
        for row in rows
    ]
