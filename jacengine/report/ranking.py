"""Who stands where: the numbers behind what a report says.

Strategies and other libraries compete; `auto`, which is one of the strategies again,
stands beside them. A strategy may be there several times, with different chunks; its
fastest verified row stands for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from jacengine.report.case import Case, Kind, Row

BASELINE = "reverse_loop"
"""The plain loop that a user would write; gains are against it."""
CLOSE = 1.05
"""A runner-up within this factor is as good in practice."""


@dataclass(frozen=True)
class Standing:
    """One case, ranked.

    Attributes:
        case: The case.
        rows: All candidates, the verified from fast to slow, then the others.
        ranked: The fastest verified row of each competitor, from fast to slow.
        auto: The row of `auto`, if it took part.
    """

    case: Case
    rows: tuple[Row, ...]
    ranked: tuple[Row, ...]
    auto: Row | None = None

    @classmethod
    def of(cls, case: Case) -> Standing:
        """Rank the candidates of a case."""
        ordered = sorted(case.rows, key=_figures)
        right = [row for row in ordered if row.outcome == "ok"]
        others = [row for row in ordered if row.outcome != "ok"]
        fastest: dict[str, Row] = {}
        for row in right:
            if row.time_s is not None and row.kind != "auto":
                fastest.setdefault(row.strategy, row)
        rows = (*right, *others)
        auto = next((row for row in rows if row.kind == "auto"), None)
        return cls(case, rows, tuple(fastest.values()), auto)

    @property
    def winner(self) -> Row | None:
        """The fastest verified competitor."""
        return self.ranked[0] if self.ranked else None

    @property
    def runner_up(self) -> Row | None:
        """The fastest of the others."""
        return self.ranked[1] if len(self.ranked) > 1 else None

    @property
    def timed(self) -> tuple[Row, ...]:
        """The verified rows with a time, from fast to slow, that of `auto` too."""
        return tuple(r for r in self.rows if r.outcome == "ok" and r.time_s)

    def relative(self, row: Row | None) -> float | None:
        """Divide a row's time by the winner's."""
        if row is None or self.winner is None:
            return None
        if not row.time_s or not self.winner.time_s:
            return None
        return row.time_s / self.winner.time_s

    def find(self, strategy: str) -> Row | None:
        """Return the row that stands for a strategy: the fastest right one, if any."""
        for rows in (self.ranked, self.rows):
            for row in rows:
                if row.strategy == strategy:
                    return row
        return None

    @property
    def gain(self) -> float | None:
        """How many times as fast as the baseline the winner is."""
        row = self.find(BASELINE)
        known = row is not None and row.outcome in {"ok", "skipped"}
        return self.relative(row) if known else None

    @property
    def estimated(self) -> bool:
        """Whether the baseline was stopped, so that its time is an extrapolation."""
        row = self.find(BASELINE)
        return row is not None and row.outcome == "skipped"

    @property
    def close(self) -> bool:
        """Whether the runner-up is as good in practice."""
        lead = self.relative(self.runner_up)
        return lead is not None and lead <= CLOSE

    @property
    def noisy(self) -> bool:
        """Whether noise decides between the winner and the runner-up."""
        return (
            self.winner is not None
            and self.runner_up is not None
            and _even(self.winner, self.runner_up)
        )

    def best(self, kind: Kind) -> Row | None:
        """Return the fastest verified row of a kind."""
        if kind == "auto":
            right = self.auto is not None and self.auto.outcome == "ok"
            return self.auto if right else None
        return next((row for row in self.ranked if row.kind == kind), None)

    def outcomes(self, *kinds: Kind) -> Counter[str]:
        """Count competitors of some kinds by what became of them."""
        every = dict.fromkeys(r.strategy for r in self.rows if r.kind in kinds)
        found = (self.find(name) for name in every)
        return Counter(row.outcome for row in found if row is not None)

    @property
    def front(self) -> tuple[Row, ...]:
        """The verified rows that no other beats in both time and memory."""
        front: list[Row] = []
        for row in self.rows:  # from fast to slow: each must need less than the last
            if row.kind == "auto" or row.outcome != "ok":
                continue
            if row.time_s is None or row.memory_bytes is None:
                continue
            if not front or row.memory_bytes < (front[-1].memory_bytes or 0):
                front.append(row)
        return tuple(front)


def _figures(row: Row) -> tuple[float, float]:
    """Return time and memory, to sort by."""
    return (
        math.inf if row.time_s is None else row.time_s,
        math.inf if row.memory_bytes is None else row.memory_bytes,
    )


def _even(faster: Row, slower: Row) -> bool:
    """Whether the middle halves of two rows' times overlap.

    With fewer than three times each, whether they are close.
    """
    if min(len(faster.times), len(slower.times)) < 3:
        return (slower.time_s or 0.0) <= CLOSE * (faster.time_s or 0.0)
    upper = quantiles(faster.times, n=4, method="inclusive")[2]
    lower = quantiles(slower.times, n=4, method="inclusive")[0]
    return lower <= upper


def wins(standings: Sequence[Standing]) -> list[tuple[str, int]]:
    """Count on how many cases each competitor is the fastest, the most first."""
    counted = Counter(s.winner.strategy for s in standings if s.winner is not None)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def competitors(standings: Sequence[Standing], kind: Kind) -> list[str]:
    """List all of a kind: those that win most first, then those right most often."""
    won = dict(wins(standings))
    right = Counter(row.strategy for s in standings for row in s.ranked)
    names = {row.strategy for s in standings for row in s.rows if row.kind == kind}
    return sorted(names, key=lambda name: (-won.get(name, 0), -right[name], name))


def safest(standings: Sequence[Standing]) -> tuple[str, float, Standing] | None:
    """Find the one strategy that, used everywhere, loses least in its worst case.

    Returns:
        Its name, the factor it loses and where; `None` if none is right everywhere.
    """
    solved = [s for s in standings if s.winner is not None]
    found: list[tuple[float, str, Standing]] = []
    for name in competitors(solved, "strategy"):
        rows = [next((r for r in s.ranked if r.strategy == name), None) for s in solved]
        if rows and all(row is not None for row in rows):
            losses = [s.relative(r) or 1.0 for s, r in zip(solved, rows, strict=True)]
            worst = max(range(len(losses)), key=losses.__getitem__)
            found.append((losses[worst], name, solved[worst]))
    if not found:
        return None
    loss, name, where = min(found, key=lambda item: item[:2])
    return name, loss, where
