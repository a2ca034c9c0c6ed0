"""Figures over all workloads: regret, speedups over libraries, roofline distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from markupsafe import Markup

from jacengine.report.case import Report
from jacengine.report.figures.strips import Strip, strip_plot
from jacengine.report.formatting import ratio
from jacengine.report.peer_comparison import (
    NEAR_BEST,
    geometric_mean,
    peer_comparisons,
    time_ratios,
)
from jacengine.report.ranking import Ranking
from jacengine.report.roofline import roofline_distance
from jacengine.report.scaling import workload_series

_Value = TypeVar("_Value")


def regret_figure(rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto` over that of the best strategy, workload by workload."""
    regrets = dict(time_ratios(rankings, "auto", "strategy"))
    strips = [
        Strip(
            title,
            found,
            ["accent" if factor <= NEAR_BEST else "baseline" for factor in found],
            ratio(max(found)),
            scales,
        )
        for title, found, scales in _by_workload(rankings, regrets)
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
            [factor for _, factor in ratios],
            ["accent" if factor >= 1 / NEAR_BEST else "bad" for _, factor in ratios],
            ratio(geometric_mean(ratios)),
            mean=geometric_mean(ratios),
        )
        for name, ratios in compared
    ]
    title = "time of the other library over that of auto"
    label = "Time of other libraries over that of auto, geometric means: "
    return strip_plot(strips, title=title, label=label, salt="libraries")


def roofline_figure(report: Report, rankings: Sequence[Ranking]) -> Markup | None:
    """Draw the time of `auto`, or else the winner, over the roofline."""
    distances = [(r, roofline_distance(report, r)) for r in rankings]
    known = {ranking: distance for ranking, distance in distances if distance}
    colours = {"memory": "accent", "compute": "baseline"}
    strips = [
        Strip(
            title,
            [distance.factor for distance in found],
            [colours[distance.bound] for distance in found],
            ratio(found[-1].factor),
            scales,
        )
        for title, found, scales in _by_workload(rankings, known)
    ]
    title = "time over the roofline"
    label = "Time over the roofline, at the largest size: "
    return strip_plot(strips, title=title, label=label, salt="roofline")


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
