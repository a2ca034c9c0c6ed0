"""Failures of methods, grouped by reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jacengine.report.case import Kind
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import case_names

EXPECTED = ("over_budget", "unsupported", "skipped")
"""Outcomes that were predicted: the method was not run."""
_SEVERE = ("wrong", "nonfinite", "crash", "timeout", "oom", "error", "unstable")
_SEVERITY = {outcome: i for i, outcome in enumerate((*_SEVERE, *EXPECTED))}


@dataclass(frozen=True)
class Failure:
    """A method that fails with one outcome and reason.

    `where` are the names of the cases, or of whole workloads; `everywhere` is whether
    those are all.
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
    groups: dict[tuple[str, Kind, str, str], dict[Ranking, None]] = {}
    for ranking in rankings:
        for row in ranking.rows:
            stopped = row.outcome == "skipped" and row.time_s is not None
            if row.outcome != "ok" and not stopped:
                key = (row.strategy, row.kind, row.outcome, row.notes)
                groups.setdefault(key, {})[ranking] = None
    everywhere = len(rankings) if len(rankings) > 1 else None
    found = [
        Failure(*key, tuple(case_names([*where], rankings)), len(where) == everywhere)
        for key, where in groups.items()
    ]
    found.sort(key=lambda f: (_SEVERITY.get(f.outcome, 5), f.method, f.reason))
    return found
