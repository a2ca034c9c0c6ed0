"""Figures over all workloads: regret, speedups over libraries, roofline distance.

Each is a strip plot: ratios as dots on a logarithmic axis, a strip for each category.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import matplotlib as mpl
import numpy as np
from markupsafe import Markup

from jacengine.report.case import Report
from jacengine.report.figures.axes import (
    FACTOR_FORMAT,
    STYLE,
    colour,
    inline_svg,
    log_axis,
    margin,
    new_axes,
    shortened,
)
from jacengine.report.formatting import ratio
from jacengine.report.peer_comparison import (
    comparisons,
    geometric_mean,
    peer_comparisons,
    time_ratios,
)
from jacengine.report.ranking import Ranking, even
from jacengine.report.scaling import workload_series

_Value = TypeVar("_Value")
_ROW_HEIGHT = 21
_SMALLEST, _GROWTH = 4.0, 4.0


@dataclass(frozen=True)
class _Strip:
    """The ratios of one category, each with the name of its colour.

    The dots are as large as `scales` says, from 0 to 1; a mean is marked.
    """

    label: str
    values: Sequence[float]
    colours: Sequence[str]
    text: str
    scales: Sequence[float] | float = 0.0
    mean: float | None = None


def regret_figure(rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto` over that of the best strategy, workload by workload."""
    costs = {
        each.ranking: (each.over_strategy, even(each.auto, each.strategy))
        for each in comparisons(rankings)
        if each.strategy is not None and each.over_strategy is not None
    }
    strips = [
        _Strip(
            title,
            [factor for factor, _ in found],
            ["accent" if same or cost < 1 else "baseline" for cost, same in found],
            ratio(max(found)[0]),
            scales,
        )
        for title, found, scales in _by_workload(rankings, costs)
    ]
    title = "time of auto over that of the best strategy"
    return _strip_plot(strips, title, "the largest", salt="regret")


def library_figure(rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of every other library over that of `auto`."""
    compared = [(peer.name, peer.ratios) for peer in peer_comparisons(rankings)]
    if compared:
        fastest = time_ratios(rankings, "library", "auto")
        compared.insert(0, ("the fastest of them", fastest))
    strips = [
        _Strip(
            name,
            [factor for _, factor in ratios],
            ["accent" if factor >= 1 else "bad" for _, factor in ratios],
            ratio(geometric_mean(ratios)),
            mean=geometric_mean(ratios),
        )
        for name, ratios in compared
    ]
    title = "time of the other library over that of auto"
    return _strip_plot(strips, title, "geometric means", salt="libraries")


def roofline_figure(report: Report, rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto`, or else the winner, over the roofline."""
    distances = [(r, roofline_distance(report, r)) for r in rankings]
    known = {ranking: distance for ranking, distance in distances if distance}
    colours = {"memory": "accent", "compute": "baseline"}
    strips = [
        _Strip(
            title,
            [factor for factor, _ in found],
            [colours[bound] for _, bound in found],
            ratio(found[-1][0]),
            scales,
        )
        for title, found, scales in _by_workload(rankings, known)
    ]
    title = "time over the roofline"
    return _strip_plot(strips, title, "at the largest size", salt="roofline")


def roofline_distance(
    report: Report, ranking: Ranking
) -> tuple[float, Literal["memory", "compute"]] | None:
    """Divide the time of `auto`, or else the winner, by its roofline.

    The roofline is the longer of two times: writing the bytes of the result at the fill
    rate, and the method's arithmetic at the rate of one large matrix product. Small
    operations never attain that rate, and each call has a latency. The measured rate of
    arithmetic is that of float32; for other dtypes only memory counts.

    Returns:
        The quotient, and the resource that sets the roofline.
    """
    row = ranking.best("auto") or ranking.winner
    if row is None or not row.time_s:
        return None
    memory_s = compute_s = 0.0
    if report.fill_rate and ranking.case.result_bytes:
        memory_s = ranking.case.result_bytes / report.fill_rate
    if report.matmul_rate and row.flops and ranking.case.dtype in {"", "float32"}:
        compute_s = row.flops / report.matmul_rate
    if not memory_s and not compute_s:
        return None
    if memory_s >= compute_s:
        return row.time_s / memory_s, "memory"
    return row.time_s / compute_s, "compute"


def _by_workload(
    rankings: Sequence[Ranking], values: dict[Ranking, _Value]
) -> list[tuple[str, list[_Value], list[float]]]:
    """Group values by workload, each with the rank of its size, from 0 to 1."""
    groups = [(series.title, series.rankings) for series in workload_series(rankings)]
    sized = {ranking for _, group in groups for ranking in group}
    groups += [(r.case.name, (r,)) for r in rankings if r not in sized]
    found: list[tuple[str, list[_Value], list[float]]] = []
    for title, group in groups:
        places = [place for place, ranking in enumerate(group) if ranking in values]
        if places:
            scales = [place / max(len(group) - 1, 1) for place in places]
            found.append((title, [values[group[i]] for i in places], scales))
    return found


@mpl.rc_context(STYLE)
def _strip_plot(
    strips: Sequence[_Strip], title: str, texts: str, *, salt: str
) -> Markup | None:
    """Draw strips around a line at 1, from top to bottom; `None` if there are none.

    The description for readers who do not see the figure is the title, what the `texts`
    of the strips are, and those.
    """
    if not strips:
        return None
    short = shortened(strip.label for strip in strips)
    labels = [short[strip.label] for strip in strips]
    right = margin([strip.text for strip in strips])
    axes = new_axes(_ROW_HEIGHT * len(strips) + 52, left=margin(labels), right=right)
    values = [value for strip in strips for value in strip.values]
    limits = min(0.9, *values) / 1.08, max(1.2, *values) * 1.08
    log_axis(axes, "x", limits, FACTOR_FORMAT)
    axes.set_xlabel(title)
    axes.set_ylim(len(strips) - 0.5, -0.5)
    axes.set_yticks(range(len(strips)), labels, color=colour("ink"))
    axes.axvline(1, color=colour("muted"), linewidth=1)
    for place, strip in enumerate(strips):
        axes.scatter(
            strip.values,
            [place] * len(strip.values),
            s=(_SMALLEST + _GROWTH * np.asarray(strip.scales)) ** 2,
            c=[colour(name) for name in strip.colours],
            alpha=0.75,
            linewidths=0,
            zorder=2,
        )
        if strip.mean is not None:
            axes.plot(strip.mean, place, "|", ms=15, mew=2, color=colour("ink"))
        axes.annotate(
            strip.text,
            (1, place),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    listed = "; ".join(f"{strip.label} {strip.text}" for strip in strips)
    label = f"{title.capitalize()}, {texts}: {listed}"
    return inline_svg(axes, label=label, salt=salt)
