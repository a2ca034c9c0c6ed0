"""How long a case may take: what is run, how often, and when a run is given up."""

from __future__ import annotations

from dataclasses import dataclass

from jacengine.sweep.case_spec import Effort


@dataclass(frozen=True)
class Limits:
    """How long a case may take.

    Attributes:
        rounds_s: Seconds of interleaved rounds ...
        rounds: ... and how many rounds at most.
        near: Contenders within this factor of the best are timed in rounds ...
        brief_s: ... or whose run takes no longer than this.
        once: A first run is given up after this many times the best ...
        least_s: ... but not before these seconds ...
        most_s: ... and after these in any case.
        weighed_s: Memory and arithmetic are counted in runs up to this long.
        case_s: After this long a worker is taken for hung.
        expected_s: What a case takes, roughly, for forecasts.
    """

    rounds_s: float
    rounds: int
    near: float
    brief_s: float
    once: float
    least_s: float
    most_s: float
    weighed_s: float
    case_s: float
    expected_s: float

    def first_run_s(self, best_s: float) -> float:
        """Return how long a first run may take when the best takes `best_s`."""
        return min(self.most_s, max(self.least_s, self.once * best_s))


LIMITS: dict[Effort, Limits] = {
    "quick": Limits(
        rounds_s=1.0,
        rounds=15,
        near=10.0,
        brief_s=0.005,
        once=30.0,
        least_s=0.3,
        most_s=0.6,
        weighed_s=0.03,
        case_s=120.0,
        expected_s=3.5,
    ),
    "thorough": Limits(
        rounds_s=10.0,
        rounds=25,
        near=10.0,
        brief_s=0.02,
        once=300.0,
        least_s=3.0,
        most_s=20.0,
        weighed_s=2.0,
        case_s=600.0,
        expected_s=30.0,
    ),
}
MINIMUM_ROUNDS = 3
"""Rounds that are run in any case: fewer times have no spread."""
