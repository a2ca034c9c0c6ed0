"""What did not work, each with its reason and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jacengine.report.case import Kind
from jacengine.report.ranking import Standing
from jacengine.report.scaling import places

_WORST_FIRST = (
    "wrong",
    "nonfinite",
    "crash",
    "timeout",
    "oom",
    "error",
    "unstable",
    "over_budget",
    "unsupported",
    "skipped",
)
EXPECTED = ("over_budget", "unsupported", "skipped")
"""Outcomes that were foreseen: nothing was run."""


@dataclass(frozen=True)
class Failure:
    """One method failing in one way.

    Attributes:
        method: Which.
        kind: Whose it is.
        outcome: How.
        reason: Why.
        where: The names of the cases, or of whole workloads.
        everywhere: Whether those are all.
    """

    method: str
    kind: Kind
    outcome: str
    reason: str
    where: tuple[str, ...]
    everywhere: bool

    @property
    def expected(self) -> bool:
        """Whether it was foreseen."""
        return self.outcome in EXPECTED


def failures(standings: Sequence[Standing]) -> list[Failure]:
    """Gather what did not work, the worst first.

    A candidate that was stopped because it was too slow to win has not failed.
    """
    gathered: dict[tuple[str, Kind, str, str], dict[int, Standing]] = {}
    for standing in standings:
        for row in standing.rows:
            stopped = row.outcome == "skipped" and row.time_s is not None
            if row.outcome != "ok" and not stopped:
                key = (row.strategy, row.kind, row.outcome, row.notes)
                gathered.setdefault(key, {})[id(standing)] = standing
    found = [
        Failure(
            *key,
            tuple(places(list(where.values()), standings)),
            len(where) == len(standings) > 1,
        )
        for key, where in gathered.items()
    ]
    return sorted(found, key=lambda f: (_severity(f.outcome), f.method, f.reason))


def _severity(outcome: str) -> int:
    return _WORST_FIRST.index(outcome) if outcome in _WORST_FIRST else 5
