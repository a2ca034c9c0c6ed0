"""How much a selection may cost, and which candidates it leaves out for that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Effort = Literal["none", "quick", "thorough"]

Compiled = bool | Literal["auto"]
"""Whether methods are compiled: `"auto"` when calls have paid for that."""

NOISE = 0.03
"""Times closer than this share are a tie."""


@dataclass(frozen=True)
class EffortLimits:
    """How much a selection may cost.

    Attributes:
        min_s: Seconds that the race may take in any case ...
        factor: ... or this many times the best candidate's time, whichever is more.
        rounds: Rounds of the race at most.
        stop_factor: A run is stopped that takes this many times the best one's time.
        skip_factor: A candidate is not run whose forecast is this many times that time.
        implausible_factor: A candidate is not even tried whose arithmetic is this many
            times that of the cheapest one that runs.
        early_rounds: Rounds that are run in any case ...
        near_factor: ... with all candidates within this factor of the best ...
        brief_s: ... or that take no longer than this; those are also never stopped.
        peak_factor: The peak memory is measured of those within this factor.
    """

    min_s: float
    factor: float
    rounds: int
    stop_factor: float
    skip_factor: float
    implausible_factor: float
    early_rounds: int
    near_factor: float
    brief_s: float
    peak_factor: float


_THOROUGH = EffortLimits(
    min_s=20.0,
    factor=200,
    rounds=30,
    stop_factor=20.0,
    skip_factor=20.0,
    implausible_factor=1000.0,
    early_rounds=3,
    near_factor=20.0,
    brief_s=0.2,
    peak_factor=20.0,
)
LIMITS: dict[Effort, EffortLimits] = {
    # Takes the first right candidate in the order of the cost model.
    "none": replace(_THOROUGH, min_s=float("inf"), rounds=0),
    "quick": EffortLimits(
        min_s=0.16,
        factor=7,
        rounds=8,
        stop_factor=2.5,
        skip_factor=3.0,
        implausible_factor=30.0,
        early_rounds=1,
        # A first run of a large result waits for memory pages that are touched first.
        near_factor=6.0,
        brief_s=0.0,
        peak_factor=1 + NOISE,
    ),
    "thorough": _THOROUGH,
}
