"""`auto` against the best strategy, and against every other library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jacengine.report.case import Row
from jacengine.report.ranking import Standing, competitors

WITHIN = 1.03
"""Who takes at most this multiple of the best time has lost nothing."""

Factors = list[tuple[Standing, float]]
"""Cases, each with how many times as much."""


@dataclass(frozen=True)
class Rival:
    """Another library.

    Attributes:
        name: What it is called.
        factors: Where it and `auto` are right: its time over that of `auto`.
        right: On how many cases it is right.
        wrong: On how many it gave a wrong result.
        tried: On how many it was tried.
    """

    name: str
    factors: Factors
    right: int
    wrong: int
    tried: int

    @property
    def mean(self) -> float:
        """The geometric mean of the factors."""
        return geometric_mean(self.factors)

    @property
    def least(self) -> float:
        """The least of the factors."""
        return min(factor for _, factor in self.factors)

    @property
    def most(self) -> float:
        """The largest of the factors."""
        return max(factor for _, factor in self.factors)


def geometric_mean(factors: Factors) -> float:
    """Average ratios, as ratios are averaged."""
    return math.exp(sum(math.log(factor) for _, factor in factors) / len(factors))


def regrets(standings: Sequence[Standing]) -> Factors:
    """Divide the time of `auto` by that of the best strategy: what it could take."""
    return _factors((s, s.best("auto"), s.best("strategy")) for s in standings)


def gains_over_libraries(standings: Sequence[Standing]) -> Factors:
    """Divide the time of the fastest other library by that of `auto`."""
    return _factors((s, s.best("library"), s.best("auto")) for s in standings)


def gains_by_compiling(standings: Sequence[Standing]) -> Factors:
    """Divide the time of `auto` by that of the same as compiled code."""
    return _factors((s, s.best("auto"), s.best("compiled")) for s in standings)


def gains_of_compiled(standings: Sequence[Standing]) -> Factors:
    """Divide the time of the fastest other library by that of compiled code."""
    return _factors((s, s.best("library"), s.best("compiled")) for s in standings)


def rivals(standings: Sequence[Standing]) -> list[Rival]:
    """Compare `auto` with every other library, the nearest first."""
    found = [_rival(standings, name) for name in competitors(standings, "library")]
    return sorted(
        (rival for rival in found if rival.tried),
        key=lambda rival: (
            rival.mean if rival.factors else math.inf,
            rival.name,
        ),
    )


def _rival(standings: Sequence[Standing], name: str) -> Rival:
    rows = [(s, s.find(name)) for s in standings]
    outcomes = [row.outcome for _, row in rows if row is not None]
    return Rival(
        name,
        _factors((s, row, s.best("auto")) for s, row in rows),
        outcomes.count("ok"),
        outcomes.count("wrong") + outcomes.count("nonfinite"),
        sum(outcome != "skipped" for outcome in outcomes),
    )


def _factors(
    pairs: Iterable[tuple[Standing, Row | None, Row | None]],
) -> Factors:
    return [
        (standing, over.time_s / under.time_s)
        for standing, over, under in pairs
        if over is not None and under is not None
        if over.outcome == "ok" and over.time_s and under.time_s
    ]
