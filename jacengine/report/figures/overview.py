"""Figures over all workloads: regret, speedups over libraries, roofline distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from markupsafe import Markup

from jacengine.report.case import Report
from jacengine.report.figures.strips import Dot, Strip, strip_plot
from jacengine.report.formatting import ratio
from jacengine.report.peer_comparison import (
    NEAR_BEST,
    geometric_mean,
    peer_comparisons,
    time_ratios,
)
from jacengine.report.ranking import Ranking
from jacengine.report.roofline import RooflineDistance, roofline_distance
from jacengine.report.scaling import workload_series

_Value = TypeVar("_Value")


def regret_figure(rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto` over that of the best strategy, workload by workload."""
    strips = [
        Strip(
            title,
            [
                Dot(factor, "accent" if factor <= NEAR_BEST else "baseline", scale)
                for factor, scale in found
            ],
            ratio(max(factor for factor, _ in found)),
        )
        for title, found in _by_workload(
            rankings, dict(time_ratios(rankings, "auto", "strategy"))
        )
    ]
    title = "time of auto over that of the best strategy"
    label = "Time of auto over that of the best strategy, the largest: "
    return strip_plot(strips, title=title, label=label, salt="regret")


def library_figure(rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of every other library over that of `auto`."""
    compared = [(peer.name, peer.ratios) for peer in peer_comparisons(rankings)]
    if compared:
        fastest = time_ratios(rankings, "library", "auto")
        compared.insert(0, ("the fastest of them", fastest))
    strips = [
        Strip(
            name,
            [
                Dot(factor, "accent" if factor >= 1 / NEAR_BEST else "bad")
                for _, factor in ratios
            ],
            ratio(geometric_mean(ratios)),
            geometric_mean(ratios),
        )
        for name, ratios in compared
    ]
    title = "time of the other library over that of auto"
    label = "Time of other libraries over that of auto, geometric means: "
    return strip_plot(strips, title=title, label=label, salt="libraries")


def roofline_figure(report: Report, rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto`, or else the winner, over the roofline."""
    distances: dict[Ranking, RooflineDistance] = {}
    for ranking in rankings:
        distance = roofline_distance(report, ranking)
        if distance is not None:
            distances[ranking] = distance
    colours = {"memory": "accent", "compute": "baseline"}
    strips = [
        Strip(
            title,
            [Dot(d.factor, colours[d.bound], scale) for d, scale in found],
            ratio(found[-1][0].factor),
        )
        for title, found in _by_workload(rankings, distances)
    ]
    label = "Time over the roofline, at the largest size: "
    return strip_plot(
        strips, title="time over the roofline", label=label, salt="roofline"
    )


def _by_workload(
    rankings: Sequence[Ranking], values: dict[Ranking, _Value]
) -> list[tuple[str, list[tuple[_Value, float]]]]:
    """Group values by workload, each with the rank of its size, from 0 to 1."""
    groups = [(series.title, series.rankings) for series in workload_series(rankings)]
    sized = {ranking for _, group in groups for ranking in group}
    groups += [(r.case.name, (r,)) for r in rankings if r not in sized]
    found = [
        (
            title,
            [
                (values[ranking], place / max(len(group) - 1, 1))
                for place, ranking in enumerate(group)
                if ranking in values
            ],
        )
        for title, group in groups
    ]
    return [(title, kept) for title, kept in found if kept]
