"""Time against size, log-log, with fitted powers and crossovers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from jacengine.report.figures.axes import FONT, around, blank, spaced, ticks, titled
from jacengine.report.figures.svg import colour, inline_svg
from jacengine.report.formatting import clipped, seconds
from jacengine.report.ranking import BASELINE
from jacengine.report.scaling import Series

_HEIGHT = 302
_LINE = 1.25 * FONT
_LETTERS = 18


def growth_figure(series: Series, *, salt: str) -> Markup | None:
    """Draw every method's times; `None` if none is timed at two sizes.

    Named are those that win at some size, `auto`, the best of the other libraries and
    the plain loop; the others are drawn faintly.
    """
    names = dict.fromkeys(r.strategy for s in series.standings for r in s.timed)
    lines = {
        name: [(size, row.time_s or 0.0) for size, row in series.points(name)]
        for name in names
    }
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    figure, axes = blank(_HEIGHT, left=60, right=158, above=24)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = [size for points in lines.values() for size, _ in points]
    times = [time_s for points in lines.values() for _, time_s in points]
    axes.set_xlim(*around([float(size) for size in sizes]))
    axes.set_ylim(*around(times))
    paints = _paints(series)
    for name, points in sorted(lines.items(), key=lambda item: item[0] in paints):
        dashed = name == "auto"
        axes.plot(
            [size for size, _ in points],
            [time_s for _, time_s in points],
            color=colour(paints.get(name, "line")),
            linewidth=1.8 if name in paints else 1.2,
            linestyle=(0, (2, 2)) if dashed else "-",
            marker="o",
            markersize=5 if name in paints else 3,
            zorder=4 if dashed else 3 if name in paints else 2,
        )
    for found in series.crossovers():
        axes.axvline(
            found.size, color=colour("muted"), linewidth=1, linestyle=(0, (1, 3))
        )
    ends = {name: lines[name][-1] for name in paints if name in lines}
    heights = [float(axes.transData.transform(end)[1]) for end in ends.values()]
    start = axes.get_window_extent().x1 + 8
    for name, height in zip(ends, _apart(heights), strict=True):
        slope = series.slope(name)
        power = "" if slope is None else f"  n^{slope:.1f}"
        axes.annotate(
            f"{clipped(name, _LETTERS)}{power}",
            (start, height),
            xycoords="figure pixels",
            va="center",
            fontsize=FONT,
            color=colour(paints[name]),
        )
    ticks(axes.xaxis, sorted(set(sizes)), lambda value: f"{value:,.0f}")
    ticks(axes.yaxis, spaced(*axes.get_ylim()), seconds)
    titled(axes.xaxis, clipped(series.standings[0].case.parameter or "size", 30))
    axes.set_title("time", loc="left", fontsize=FONT, color=colour("muted"), pad=8)
    said = "; ".join(f"{name} {seconds(time_s)}" for name, (_, time_s) in ends.items())
    return inline_svg(
        figure,
        label=f"Time against size. At the largest size of each: {said}",
        salt=salt,
    )


def _paints(series: Series) -> dict[str, str]:
    """Choose who is named, and in which colour.

    Winners come from large sizes to small, in colours of their own while there are any.
    """
    paints: dict[str, str] = {}
    if any(standing.best("auto") for standing in series.standings):
        paints["auto"] = "ink"
    colours = iter(("accent", "second"))
    for standing in (series.largest, *reversed(series.standings)):
        for row in (standing.best("strategy"), standing.best("library")):
            told = row is standing.winner or standing is series.largest
            if row is None or not told or row.strategy in paints:
                continue
            ours = row.kind == "strategy"
            paints[row.strategy] = next(colours, "muted") if ours else "library"
    paints.setdefault(BASELINE, "baseline")
    return paints


def _apart(heights: Sequence[float]) -> list[float]:
    """Move labels up until none covers another."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for lower, upper in pairwise(order):
        moved[upper] = max(moved[upper], moved[lower] + _LINE)
    return moved
