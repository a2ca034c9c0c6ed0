"""Failures of methods, grouped by reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jacengine.report.case import Kind
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import case_names

EXPECTED = ("over_budget", "unsupported", "skipped")
"""Outcomes that were predicted: the method was not run."""
_SEVERITY = {
    outcome: position
    for position, outcome in enumerate(
        (
            "wrong",
            "nonfinite",
            "crash",
            "timeout",
            "oom",
            "error",
            "unstable",
            *EXPECTED,
        )
    )
}


@dataclass(frozen=True)
class Failure:
    """A method that fails with one outcome and reason.

    Attributes:
        method: The method.
        kind: Its kind.
        outcome: The outcome.
        reason: The reason.
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
        """Whether it was predicted."""
        return self.outcome in EXPECTED


def failures(rankings: Sequence[Ranking]) -> list[Failure]:
    """Group the failures, the most severe first.

    A candidate that was stopped because it was too slow to win has not failed.
    """
    groups: defaultdict[tuple[str, Kind, str, str], dict[Ranking, None]]
    groups = defaultdict(dict)
    for ranking in rankings:
        for row in ranking.rows:
            stopped = row.outcome == "skipped" and row.time_s is not None
            if row.outcome != "ok" and not stopped:
                key = (row.strategy, row.kind, row.outcome, row.notes)
                groups[key][ranking] = None
    found = [
        Failure(
            *key,
            tuple(case_names(list(where), rankings)),
            len(where) == len(rankings) > 1,
        )
        for key, where in groups.items()
    ]
    return sorted(
        found, key=lambda f: (_SEVERITY.get(f.outcome, 5), f.method, f.reason)
    )
