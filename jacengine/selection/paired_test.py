"""Whether one is slower than another, of times that were taken in turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

T95 = {
    3: 2.92,
    4: 2.35,
    5: 2.13,
    6: 2.02,
    7: 1.94,
    8: 1.90,
    9: 1.86,
    10: 1.83,
    11: 1.81,
}
"""Student's t at 95 %, one-sided, by the number of rounds; beyond, the last."""
TICK = 1e-9
"""Seconds that a time is taken for at least: a clock may not have moved."""


def slower(times: Sequence[float], leader: Sequence[float]) -> bool:
    """Tell whether times are above the leader's, with 95 % confidence.

    Rounds are paired, since the machine's speed drifts: a one-sided t-test of the mean
    logarithm of the ratios.
    """
    count = min(len(times), len(leader))
    if count < min(T95):
        return False
    pairs = zip(times[-count:], leader[-count:], strict=True)
    ratios = [math.log(max(a, TICK) / max(b, TICK)) for a, b in pairs]
    spread = statistics.stdev(ratios) / math.sqrt(count)
    return statistics.mean(ratios) > T95[min(count, max(T95))] * spread
