"""Rounds in which contenders take turns, so that a drift of the machine is shared."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping, Sequence

from jacengine.sweep.limits import MINIMUM_ROUNDS, Limits

LOOSE = 0.3
"""Interquartile range over median above which times are doubtful."""


def interleaved(
    first_s: Mapping[str, float],
    time_one: Callable[[str], float],
    limits: Limits,
    seed: int,
) -> dict[str, list[float]]:
    """Time contenders in rounds, in another order each round.

    Args:
        first_s: The time of each one's first run, which is not counted.
        time_one: Runs one and returns its seconds.
        limits: How many rounds; the slow ones take part in fewer.
        seed: Of the orders.

    Returns:
        The times of each.
    """
    shares = {
        name: _share(taken, limits, len(first_s)) for name, taken in first_s.items()
    }
    times: dict[str, list[float]] = {name: [] for name in first_s}
    shuffled = random.Random(seed)  # noqa: S311 - an order, no secret
    for number in range(max(shares.values(), default=0)):
        turn = [name for name, share in shares.items() if number < share]
        shuffled.shuffle(turn)
        for name in turn:
            times[name].append(time_one(name))
    return times


def loose(times: Sequence[float]) -> bool:
    """Whether times are spread so widely that their median means little."""
    if len(times) < 2 * MINIMUM_ROUNDS:
        return False
    low, middle, high = statistics.quantiles(times, n=4)
    return middle > 0 and (high - low) / middle > LOOSE


def _share(first_s: float, limits: Limits, count: int) -> int:
    """Return in how many rounds a contender takes part."""
    if first_s > limits.rounds_s:
        return 1
    fitting = int(limits.rounds_s / count / max(first_s, 1e-9))
    return min(limits.rounds, max(MINIMUM_ROUNDS, fitting))
