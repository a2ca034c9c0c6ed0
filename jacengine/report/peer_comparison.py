"""Comparison of `auto` with the best strategy and with every other library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import gmean

from jacengine.report.case import Kind, Row
from jacengine.report.ranking import WRONG, Ranking, competitors, time_ratio
from jacengine.report.scaling import workload_series

NEAR_BEST = 1.03
"""A time of at most this multiple of the best one counts as equal."""

TimeRatios = list[tuple[Ranking, float]]
"""Cases, each with the quotient of two times."""


@dataclass(frozen=True)
class PeerComparison:
    """Another library, compared with `auto`.

    Attributes:
        name: The library.
        ratios: Its time over that of `auto`, where both are correct.
        correct: The number of cases with a correct result, ...
        wrong: ... with a wrong result, ...
        tried: ... and on which it ran.
    """

    name: str
    ratios: TimeRatios
    correct: int
    wrong: int
    tried: int

    @property
    def mean(self) -> float:
        """The geometric mean of the ratios."""
        return geometric_mean(self.ratios)

    @property
    def least(self) -> float:
        """The smallest ratio."""
        return min(ratio for _, ratio in self.ratios)

    @property
    def most(self) -> float:
        """The largest ratio."""
        return max(ratio for _, ratio in self.ratios)


def geometric_mean(ratios: TimeRatios) -> float:
    """Return the geometric mean of the ratios."""
    return float(gmean([ratio for _, ratio in ratios]))


def time_ratios(rankings: Iterable[Ranking], over: Kind, under: Kind) -> TimeRatios:
    """Divide the best time of one kind of method by that of another, case by case.

    `"auto"` over `"strategy"` is the regret of automatic selection.
    """
    return _ratios((r, r.best(over), r.best(under)) for r in rankings)


def near_best(rankings: Sequence[Ranking]) -> tuple[int, int, str]:
    """Count where the time of `auto` equals that of the best strategy.

    A workload counts if that holds at every size that a strategy solves; a failure of
    `auto` counts against it.

    Returns:
        How many, of how many, and of what: workloads where there are sizes.
    """
    regrets = time_ratios(rankings, "auto", "strategy")
    near = {ranking for ranking, ratio in regrets if ratio <= NEAR_BEST}
    eligible = {r for r in rankings if r.auto and r.best("strategy")}
    groups = [series.rankings for series in workload_series(rankings)]
    noun = "workload" if groups else "problem"
    groups = groups or [(ranking,) for ranking in rankings]
    counted = [group for each in groups if (group := eligible.intersection(each))]
    return sum(group <= near for group in counted), len(counted), noun


def peer_comparisons(rankings: Sequence[Ranking]) -> list[PeerComparison]:
    """Compare `auto` with every library that solves a case of its, fastest first."""
    found = [_compared(rankings, name) for name in competitors(rankings, "library")]
    return sorted((p for p in found if p.ratios), key=lambda p: (p.mean, p.name))


def _compared(rankings: Sequence[Ranking], name: str) -> PeerComparison:
    rows = [(ranking, ranking.find(name)) for ranking in rankings]
    outcomes = [row.outcome for _, row in rows if row is not None]
    return PeerComparison(
        name,
        _ratios((ranking, row, ranking.best("auto")) for ranking, row in rows),
        outcomes.count("ok"),
        sum(outcome in WRONG for outcome in outcomes),
        sum(outcome != "skipped" for outcome in outcomes),
    )


def _ratios(pairs: Iterable[tuple[Ranking, Row | None, Row | None]]) -> TimeRatios:
    return [
        (ranking, ratio)
        for ranking, over, under in pairs
        if over is not None and over.outcome == "ok"
        if (ratio := time_ratio(over, under)) is not None
    ]
