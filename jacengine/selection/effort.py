"""How much a selection may cost, and whom it leaves out for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

NOISE = 0.03
"""Times closer than this share are a tie."""
HOPELESS = 2.5
"""A candidate is stopped when it has taken this many times the best whole run."""
RETRIED = 6.0
"""A candidate whose first run took up to this many times the best runs once more: large
results wait for pages that nobody has touched before."""
UNPROMISING = 3.0
"""A candidate is not run whose forecast is this many times the best time."""
IMPLAUSIBLE = 30.0
"""A candidate is not tried whose arithmetic is this many times that of another."""
CONTENDING = 1.5
"""A candidate races on while its best time is within this factor of the leader's."""


@dataclass(frozen=True)
class EffortLimits:
    """How much a selection may cost.

    Attributes:
        floor_s: Seconds the race may take in any case ...
        factor: ... or this many times the best candidate's time, whichever is more.
        rounds: Rounds of the race at most.
        hopeless: Stop candidates that take this many times the best.
        unpromising: Do not run those whose forecast is this many times the best.
        implausible: Do not even try those whose arithmetic is this many times that of
            the cheapest running.
        early: Rounds that are run in any case ...
        near: ... with all candidates within this factor of the best ...
        brief_s: ... or that take no longer than this; those are also never stopped.
        weighed: Measure the memory of those within this factor of the best.
    """

    floor_s: float
    factor: float
    rounds: int
    hopeless: float
    unpromising: float
    implausible: float
    early: int
    near: float
    brief_s: float
    weighed: float


_NEVER = float("inf")
QUICK = EffortLimits(
    floor_s=0.16,
    factor=7,
    rounds=8,
    hopeless=HOPELESS,
    unpromising=UNPROMISING,
    implausible=IMPLAUSIBLE,
    early=1,
    near=RETRIED,
    brief_s=0.0,
    weighed=1 + NOISE,
)
THOROUGH = EffortLimits(
    floor_s=20.0,
    factor=200,
    rounds=30,
    hopeless=20.0,
    unpromising=20.0,
    implausible=1000.0,
    early=3,
    near=20.0,
    brief_s=0.2,
    weighed=20.0,
)
UNTIMED = replace(THOROUGH, floor_s=_NEVER, rounds=0)
"""Takes the first right candidate in the order of the cost model."""
