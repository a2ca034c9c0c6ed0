"""The order of verified candidates by their times, and when one is surely slower."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.effort import NOISE

FEWEST = 3
"""The fewest rounds after which a candidate can be said to be slower."""
# fmt: off
QUANTILES = (
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812,
    1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725,
    1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697,
)
# fmt: on
"""The 95 % quantiles of Student's t of 1, 2, ... degrees of freedom: with such
confidence a candidate must be slower than the leader to leave the race. A table, since
the import of SciPy's function takes as long as a race."""


def time_of(result: CandidateResult) -> float:
    """Return the seconds of a call; zero where candidates are not timed."""
    return result.time_s or 0.0


def cost_of(result: CandidateResult) -> float:
    """Return what a call takes; into existing memory, if that was measured.

    Pages of a large new result cost every method the same, and now and then many times
    as much as the computation.
    """
    return time_of(result) if result.into_s is None else result.into_s


def ranking(
    results: Sequence[CandidateResult], order: Sequence[str]
) -> list[CandidateResult]:
    """Order verified candidates; ties go to less memory, then a fixed order."""
    best = min(map(cost_of, results), default=math.inf)

    def key(result: CandidateResult) -> tuple[float, bool, float, int, int]:
        taken = cost_of(result)
        tied = taken <= best * (1 + NOISE)
        memory = result.peak_bytes or result.predicted_bytes or 0
        return (
            best if tied else taken,
            result.compiled,
            memory if tied else 0,
            order.index(result.strategy),
            -(result.chunk_size or 0),
        )

    return sorted(results, key=key)


def not_slower(results: Mapping[int, CandidateResult]) -> list[int]:
    """List those that are not surely slower than the fastest."""
    leader = min(results.values(), key=time_of, default=None)
    return [
        i
        for i, result in results.items()
        if result is leader or leader is None or not slower(result.times, leader.times)
    ]


def slower(times: Sequence[float], leader: Sequence[float]) -> bool:
    """Tell whether times are above the leader's, with confidence.

    Rounds are paired, since the machine's speed drifts: a one-sided t-test of the mean
    logarithm of the ratios.
    """
    count = min(len(times), len(leader))
    if count < FEWEST:
        return False
    tick = 1e-9  # a clock may not have moved
    pairs = zip(times[-count:], leader[-count:], strict=True)
    ratios = [math.log(max(a, tick) / max(b, tick)) for a, b in pairs]
    mean, spread = statistics.mean(ratios), statistics.stdev(ratios)
    if spread == 0:
        return mean > 0
    statistic = mean / (spread / math.sqrt(count))
    return statistic > QUANTILES[min(count - 1, len(QUANTILES)) - 1]
