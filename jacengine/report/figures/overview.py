"""Figures of a whole report: the loss of `auto`, its gains, the distance to floors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from markupsafe import Markup

from jacengine.report.case import Report
from jacengine.report.figures.axes import times
from jacengine.report.figures.strips import Dot, Strip, draw_strips
from jacengine.report.formatting import ratio
from jacengine.report.peer_comparison import (
    WITHIN,
    Factors,
    gains_over_libraries,
    geometric_mean,
    regrets,
    rivals,
)
from jacengine.report.ranking import Standing
from jacengine.report.roofline import Distance, distance
from jacengine.report.scaling import all_series

_Value = TypeVar("_Value")


def regret_figure(standings: Sequence[Standing]) -> Markup | None:
    """Draw the time of `auto` over that of the best strategy, workload by workload."""
    strips = [
        Strip(
            title,
            tuple(
                Dot(factor, "accent" if factor <= WITHIN else "baseline", scale)
                for _, factor, scale in found
            ),
            ratio(max(factor for _, factor, _ in found)),
        )
        for title, found in _grouped(standings, regrets(standings))
    ]
    return draw_strips(
        strips,
        title="time of auto over that of the best strategy",
        label="Time of auto over that of the best strategy, the largest: "
        + _listed(strips),
        text=times,
        salt="regret",
    )


def gains_figure(standings: Sequence[Standing]) -> Markup | None:
    """Draw the time of every other library over that of `auto`."""
    compared = [rival for rival in rivals(standings) if rival.factors]
    if not compared:
        return None
    fastest = gains_over_libraries(standings)
    strips = [_gains("the fastest of them", fastest)]
    strips += [_gains(rival.name, rival.factors) for rival in compared]
    return draw_strips(
        strips,
        title="time of the other library over that of auto",
        label="Time of other libraries over that of auto, geometric means: "
        + _listed(strips),
        text=times,
        salt="gains",
    )


def _gains(name: str, factors: Factors) -> Strip:
    mean = geometric_mean(factors)
    dots = tuple(
        Dot(factor, "accent" if factor >= 1 / WITHIN else "bad")
        for _, factor in factors
    )
    return Strip(name, dots, ratio(mean), mean)


def floor_figure(report: Report, standings: Sequence[Standing]) -> Markup | None:
    """Draw how far `auto`, or else the winner, is from the floor."""
    found: list[tuple[Standing, Distance]] = []
    for standing in standings:
        known = distance(report, standing)
        if known is not None:
            found.append((standing, known))
    strips = [
        Strip(
            title,
            tuple(
                Dot(
                    known.factor,
                    "accent" if known.bound == "memory" else "baseline",
                    scale,
                )
                for _, known, scale in group
            ),
            ratio(group[-1][1].factor),
        )
        for title, group in _grouped(standings, found)
    ]
    return draw_strips(
        strips,
        title="time over the floor",
        label="Time over the floor, at the largest size: " + _listed(strips),
        text=times,
        salt="floor",
    )


def _grouped(
    standings: Sequence[Standing], values: Sequence[tuple[Standing, _Value]]
) -> list[tuple[str, list[tuple[Standing, _Value, float]]]]:
    """Gather values by workload, each with how large its size is, from 0 to 1."""
    known = {id(standing): (standing, value) for standing, value in values}
    groups = [(series.title, series.standings) for series in all_series(standings)]
    inside = {id(standing) for _, group in groups for standing in group}
    groups += [(s.case.name, (s,)) for s in standings if id(s) not in inside]
    found: list[tuple[str, list[tuple[Standing, _Value, float]]]] = []
    for title, group in groups:
        last = max(len(group) - 1, 1)
        kept = [
            (*known[id(standing)], place / last)
            for place, standing in enumerate(group)
            if id(standing) in known
        ]
        if kept:
            found.append((title, kept))
    return found


def _listed(strips: Sequence[Strip]) -> str:
    return "; ".join(f"{strip.label} {strip.text}" for strip in strips)
