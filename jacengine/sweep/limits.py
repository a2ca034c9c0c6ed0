"""Time limits of a case: which runs are made, how often, and when a run is stopped."""

from __future__ import annotations

from dataclasses import dataclass

from jacengine.sweep.case_spec import Effort

MIN_ROUNDS = 3
"""Rounds that are run in any case: fewer times have no spread."""
ROUNDS = "rounds"
"""What is announced when all candidates run in turns."""


@dataclass(frozen=True)
class Limits:
    """How long a case may take; by default as of a quick sweep.

    Attributes:
        rounds_s: Seconds of interleaved rounds ...
        rounds: ... and the largest number of rounds.
        near: Candidates within this factor of the best are timed in rounds ...
        short_s: ... or whose run takes no longer than this.
        stop_factor: A first run is stopped after this many times the best ...
        least_s: ... but not before these seconds ...
        most_s: ... and after these in any case.
        counted_s: Memory and FLOPs are counted in runs up to this long.
        case_s: After this long a worker counts as hung.
        expected_s: The typical time of a case, for forecasts.
    """

    rounds_s: float = 1.0
    rounds: int = 15
    near: float = 10.0
    short_s: float = 0.005
    stop_factor: float = 30.0
    least_s: float = 0.3
    most_s: float = 0.6
    counted_s: float = 0.03
    case_s: float = 120.0
    expected_s: float = 3.5

    def first_run_s(self, best_s: float) -> float:
        """Return the time limit of a first run when the best takes `best_s`."""
        return min(self.most_s, max(self.least_s, self.stop_factor * best_s))

    def rounds_of(self, best_s: float, candidates: int) -> int:
        """Return in how many rounds a candidate takes part, which share the time."""
        if best_s > self.rounds_s:
            return 1
        fitting = int(self.rounds_s / candidates / max(best_s, 1e-9))
        return min(self.rounds, max(MIN_ROUNDS, fitting))


LIMITS: dict[Effort, Limits] = {
    "quick": Limits(),
    "thorough": Limits(
        rounds_s=10.0,
        rounds=25,
        short_s=0.02,
        stop_factor=300.0,
        least_s=3.0,
        most_s=20.0,
        counted_s=2.0,
        case_s=600.0,
        expected_s=30.0,
    ),
}
