"""Comparison of `auto` with the best strategy and with every other library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jacengine.report.case import Kind, Row
from jacengine.report.ranking import WRONG, Ranking, competitors, even, time_ratio

CONFIDENCE = 0.95
"""The confidence level of intervals of geometric means."""
_RESAMPLES = 9999

TimeRatios = list[tuple[Ranking, float]]
"""Cases, each with the quotient of two times."""


@dataclass(frozen=True)
class Comparison:
    """The time of `auto` on a case, beside the best strategy and the best library.

    Attributes:
        ranking: The case.
        auto: The row of `auto`.
        strategy: The fastest verified strategy of jacengine, ...
        library: ... and the fastest verified method of another library, if any.
        compiled: The row of the compiled choice of `auto`, if that was tried.
    """

    ranking: Ranking
    auto: Row
    strategy: Row | None
    library: Row | None
    compiled: Row | None

    @property
    def over_strategy(self) -> float | None:
        """The time of `auto` over that of the strategy."""
        return time_ratio(self.auto, self.strategy)

    @property
    def over_library(self) -> float | None:
        """The time of `auto` over that of the library."""
        return time_ratio(self.auto, self.library)

    @property
    def compiled_over_library(self) -> float | None:
        """The time of `auto` compiled over that of the library."""
        return time_ratio(self.compiled, self.library)

    @property
    def ahead(self) -> Literal["auto", "library", "even", ""]:
        """Who is faster, beyond noise; empty without a library."""
        if self.library is None or self.over_library is None:
            return ""
        if even(self.auto, self.library):
            return "even"
        return "library" if self.over_library > 1 else "auto"


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
    return float(np.exp(np.mean(np.log([ratio for _, ratio in ratios]))))


def mean_interval(ratios: TimeRatios) -> tuple[float, float] | None:
    """Return the interval of the geometric mean over workloads like these.

    Workloads are resampled, each with all of its sizes, whose ratios are alike
    (B. Efron, 1979, "Bootstrap methods: another look at the jackknife",
    https://doi.org/10.1214/aos/1176344552).

    Returns:
        The percentiles of the resampled means; `None` of fewer than three workloads.
    """
    from scipy import stats  # noqa: PLC0415 - it takes over a second to import

    groups: dict[str, list[float]] = {}
    for ranking, ratio in ratios:
        case = ranking.case
        groups.setdefault(case.workload or case.name, []).append(ratio)
    if len(groups) < 3:
        return None
    sums = np.array([np.log(group).sum() for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()])

    def mean(sums: Any, counts: Any, axis: int) -> Any:
        return np.exp(sums.sum(axis) / counts.sum(axis))

    found = stats.bootstrap(
        (sums, counts),
        mean,
        paired=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=_RESAMPLES,
        rng=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def time_ratios(rankings: Iterable[Ranking], over: Kind, under: Kind) -> TimeRatios:
    """Divide the best time of one kind of method by that of another, case by case.

    `"auto"` over `"strategy"` is the cost of automatic selection.
    """
    return _ratios((r, r.best(over), r.best(under)) for r in rankings)


def comparisons(rankings: Iterable[Ranking]) -> list[Comparison]:
    """Compare `auto` with others on every case that it solves.

    Where a library is ahead by most comes first, and where there is none last.
    """
    found = [
        Comparison(
            ranking,
            auto,
            ranking.best("strategy"),
            ranking.best("library"),
            ranking.best("compiled"),
        )
        for ranking in rankings
        if (auto := ranking.best("auto")) is not None
    ]
    return sorted(found, key=lambda each: -(each.over_library or 0.0))


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
