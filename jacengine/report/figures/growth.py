"""Time against size, log-log, with fitted powers and crossovers."""

from __future__ import annotations

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.ticker import EngFormatter, FixedLocator

from jacengine.report.figures.axes import (
    STYLE,
    colour,
    inline_svg,
    log_axis,
    log_limits,
    margin,
    new_axes,
    shortened,
)
from jacengine.report.formatting import seconds, truncated
from jacengine.report.ranking import BASELINE
from jacengine.report.scaling import Series

_HEIGHT = 302
_LETTERS = 18


@mpl.rc_context(STYLE)
def growth_figure(series: Series, *, salt: str) -> Markup | None:
    """Draw every method's times; `None` if none is timed at two sizes.

    The legend names those that win at some size, `auto`, the best of the other
    libraries and the plain loop; the others are drawn faintly.
    """
    methods = dict.fromkeys(r.strategy for x in series.rankings for r in x.timed)
    lines = {method: series.times(method) for method in methods}
    lines = {method: times for method, times in lines.items() if len(times) > 1}
    if not lines:
        return None
    colours = _colours(series)
    last = {method: [*times.values()][-1] for method, times in lines.items()}
    named = sorted(lines.keys() & colours, key=lambda method: (-last[method], method))
    short = shortened(named, _LETTERS)
    widest = margin([f"{short[method]}  n^0.0" for method in named])
    axes = new_axes(_HEIGHT, left=60, right=max(176, widest + 24), top=24)
    for method in [*(method for method in lines if method not in named), *named]:
        dashed = method == "auto"
        axes.plot(
            list(lines[method]),
            list(lines[method].values()),
            color=colour(colours.get(method, "line")),
            linewidth=1.8 if method in named else 1.2,
            linestyle=(0, (2, 2)) if dashed else "-",
            marker="o",
            markersize=5 if method in named else 3,
            zorder=4 if dashed else 3 if method in named else 2,
            label=f"{short.get(method, method)}  n^{series.slope(method):.1f}",
        )
    for size, _, _ in series.crossovers():
        axes.axvline(size, color=colour("muted"), linewidth=1, linestyle=(0, (1, 3)))
    sizes = sorted({float(size) for times in lines.values() for size in times})
    seconds_ = [time_s for times in lines.values() for time_s in times.values()]
    log_axis(axes, "x", log_limits(sizes), "{x:,.0f}")
    log_axis(axes, "y", log_limits(seconds_), EngFormatter("s"))
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.set_xlabel(truncated(series.rankings[0].case.parameter or "size", 30))
    axes.set_title("time", pad=8)
    axes.legend(
        handles=axes.lines[len(lines) - len(named) : len(lines)],
        labelcolor="linecolor",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        handlelength=1.4,
        handletextpad=0.5,
    )
    ends = "; ".join(f"{m} {seconds(last[m])}" for m in named)
    label = f"Time against size. At the largest size of each: {ends}"
    return inline_svg(axes, label=label, salt=salt)


def _colours(series: Series) -> dict[str, str]:
    """Choose the named methods and their colours.

    Winners come from large sizes to small, in distinct colours while there are any.
    """
    chosen: dict[str, str] = {}
    if any(ranking.best("auto") for ranking in series.rankings):
        chosen["auto"] = "ink"
    free = iter(("accent", "second"))
    for ranking in (series.largest, *reversed(series.rankings)):
        for row in (ranking.best("strategy"), ranking.best("library")):
            named = row is ranking.winner or ranking is series.largest
            if row is None or not named or row.strategy in chosen:
                continue
            ours = row.kind == "strategy"
            chosen[row.strategy] = next(free, "muted") if ours else "library"
    chosen.setdefault(BASELINE, "baseline")
    return chosen
