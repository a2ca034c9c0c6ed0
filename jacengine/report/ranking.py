"""Rankings of the candidates of a case, and statistics over several rankings.

Strategies and other libraries compete; `auto`, which repeats one of the strategies, is
not ranked. A strategy that was run with several chunk sizes is represented by its
fastest verified row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jacengine.report.case import Case, Kind, Row

BASELINE = "reverse_loop"
"""The plain loop that a user would write; speedups are relative to it."""
CLOSE = 1.05
"""A runner-up within this factor is equally good in practice."""
WRONG = ("wrong", "nonfinite")
"""Outcomes of incorrect results."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """One case with its candidates in order; hashed and compared by identity.

    Attributes:
        case: The case.
    """

    case: Case

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """All candidates: the verified ones from fast to slow, then the others."""
        return tuple(sorted(self.case.rows, key=_sort_key))

    @cached_property
    def ranked(self) -> tuple[Row, ...]:
        """The fastest verified row of each competitor, from fast to slow."""
        fastest: dict[str, Row] = {}
        for row in self.rows:
            if row.outcome == "ok" and row.time_s is not None and row.kind != "auto":
                fastest.setdefault(row.strategy, row)
        return tuple(fastest.values())

    @cached_property
    def auto(self) -> Row | None:
        """The row of `auto`, if it took part."""
        return next((row for row in self.rows if row.kind == "auto"), None)

    @property
    def winner(self) -> Row | None:
        """The fastest verified competitor."""
        return next(iter(self.ranked), None)

    @property
    def runner_up(self) -> Row | None:
        """The second-fastest verified competitor."""
        return next(iter(self.ranked[1:]), None)

    @property
    def timed(self) -> tuple[Row, ...]:
        """The verified rows with a time, from fast to slow, including `auto`."""
        return tuple(r for r in self.rows if r.outcome == "ok" and r.time_s)

    def relative_time(self, row: Row | None) -> float | None:
        """Divide a row's time by the winner's."""
        return time_ratio(row, self.winner)

    def find(self, method: str) -> Row | None:
        """Return the row that represents a method: its fastest verified one, if any."""
        rows = (row for row in (*self.ranked, *self.rows) if row.strategy == method)
        return next(rows, None)

    def best(self, kind: Kind) -> Row | None:
        """Return the fastest verified row of a kind."""
        if kind == "auto":
            return self.auto if self.auto and self.auto.outcome == "ok" else None
        return next((row for row in self.ranked if row.kind == kind), None)

    @property
    def speedup(self) -> float | None:
        """The baseline's time as a multiple of the winner's."""
        row = self.find(BASELINE)
        known = row is not None and row.outcome in {"ok", "skipped"}
        return self.relative_time(row) if known else None

    @property
    def extrapolated(self) -> bool:
        """Whether the baseline was stopped and its time is an extrapolation."""
        row = self.find(BASELINE)
        return row is not None and row.outcome == "skipped"

    @property
    def close(self) -> bool:
        """Whether the runner-up is equally good in practice."""
        lead = self.relative_time(self.runner_up)
        return lead is not None and lead <= CLOSE

    @property
    def within_noise(self) -> bool:
        """Whether the times of the fastest two differ by noise alone."""
        faster, slower = self.winner, self.runner_up
        return faster is not None and slower is not None and even(faster, slower)

    def outcomes(self, *kinds: Kind) -> Counter[str]:
        """Count the outcomes of the competitors of some kinds."""
        methods = dict.fromkeys(r.strategy for r in self.rows if r.kind in kinds)
        found = (self.find(method) for method in methods)
        return Counter(row.outcome for row in found if row is not None)

    @cached_property
    def pareto_front(self) -> tuple[Row, ...]:
        """The verified rows that no other beats in both time and memory."""
        front: list[Row] = []
        for row in self.timed:  # from fast to slow: each must need less than the last
            if row.kind == "auto" or row.memory_bytes is None:
                continue
            if not front or row.memory_bytes < (front[-1].memory_bytes or 0):
                front.append(row)
        return tuple(front)


def even(row: Row, other: Row) -> bool:
    """Whether the middle halves of the times of two rows overlap.

    With fewer than three times each, whether they are close.
    """
    if min(len(row.times), len(other.times)) < 3:
        factor = time_ratio(row, other)
        return factor is not None and 1 / CLOSE <= factor <= CLOSE
    (low, high), (lower, upper) = (
        np.quantile(each.times, (0.25, 0.75)) for each in (row, other)
    )
    return bool(low <= upper and lower <= high)


def time_ratio(row: Row | None, other: Row | None) -> float | None:
    """Divide the time of a row by that of another; `None` without one of them."""
    if row is None or other is None or not row.time_s or not other.time_s:
        return None
    return row.time_s / other.time_s


def _sort_key(row: Row) -> tuple[bool, float, float]:
    return (
        row.outcome != "ok",
        math.inf if row.time_s is None else row.time_s,
        math.inf if row.memory_bytes is None else row.memory_bytes,
    )


def wins(rankings: Sequence[Ranking]) -> list[tuple[str, int]]:
    """Count the cases on which each competitor is the fastest, the most first."""
    counted = Counter(r.winner.strategy for r in rankings if r.winner is not None)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def competitors(rankings: Sequence[Ranking], kind: Kind) -> list[str]:
    """List the methods of a kind, by wins and then by correct results."""
    won = dict(wins(rankings))
    correct = Counter(row.strategy for r in rankings for row in r.ranked)
    names = {row.strategy for r in rankings for row in r.rows if row.kind == kind}
    return sorted(names, key=lambda name: (-won.get(name, 0), -correct[name], name))


def most_robust(rankings: Sequence[Ranking]) -> tuple[float, str, Ranking] | None:
    """Find the strategy with the smallest worst-case relative time.

    Returns:
        That time, the strategy and the case; `None` if none is correct everywhere.
    """
    solved = [ranking for ranking in rankings if ranking.winner is not None]
    worst_cases: list[tuple[float, str, Ranking]] = []
    for name in competitors(solved, "strategy"):
        losses = [
            (ranking.relative_time(row) or 1.0, name, ranking)
            for ranking in solved
            for row in ranking.ranked
            if row.strategy == name
        ]
        if len(losses) == len(solved):
            worst_cases.append(max(losses, key=lambda loss: loss[0]))
    return min(worst_cases, key=lambda loss: loss[:2], default=None)
