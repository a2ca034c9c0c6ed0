"""How a workload's times grow with its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from jacengine.report.case import Case, Row
from jacengine.report.formatting import Name
from jacengine.report.ranking import Standing


@dataclass(frozen=True)
class Crossover:
    """Where one competitor overtakes another.

    Attributes:
        size: About where, interpolated between two measured sizes.
        before: Who is the fastest below.
        after: Who is the fastest above.
    """

    size: float
    before: str
    after: str


@dataclass(frozen=True)
class Series:
    """One workload in one setting, from small to large.

    Attributes:
        title: The workload, and its setting where there are several.
        standings: Its cases.
    """

    title: str
    standings: tuple[Standing, ...]

    @property
    def largest(self) -> Standing:
        """The largest case that somebody solved, or else the largest."""
        solved = [s for s in self.standings if s.winner is not None]
        return (solved or self.standings)[-1]

    def points(self, name: str) -> list[tuple[int, Row]]:
        """Return the sizes at which a method is right and timed, with its rows."""
        found = (
            (s.case.size, next((r for r in s.timed if r.strategy == name), None))
            for s in self.standings
        )
        return [
            (size, row) for size, row in found if size and size > 0 and row is not None
        ]

    def slope(self, name: str) -> float | None:
        """Fit the power of the size that a method's time grows with."""
        points = [(n, row.time_s) for n, row in self.points(name) if row.time_s]
        if len({n for n, _ in points}) < 2:
            return None
        xs = [math.log(n) for n, _ in points]
        ys = [math.log(time_s) for _, time_s in points]
        x, y = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((a - x) ** 2 for a in xs)
        return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / spread

    def crossovers(self) -> list[Crossover]:
        """Find where the winner changes, and not by noise alone.

        Both must be timed on both sides, and one side at least must be clear.
        """
        found: list[Crossover] = []
        for low, high in pairwise(self.standings):
            if low.winner is None or high.winner is None:
                continue
            before, after = low.winner.strategy, high.winner.strategy
            if before == after or (low.noisy and high.noisy):
                continue
            size = _crossing(self, before, after, (low.case, high.case))
            if size is not None:
                found.append(Crossover(size, before, after))
        return found


def _crossing(
    series: Series, before: str, after: str, sides: tuple[Case, Case]
) -> float | None:
    """Interpolate, in logarithms, where two methods take the same time."""
    first, second = dict(series.points(before)), dict(series.points(after))
    sizes = [case.size or 0 for case in sides]
    gaps: list[float] = []
    for size in sizes:
        if size not in first or size not in second:
            return None
        times = first[size].time_s, second[size].time_s
        if not times[0] or not times[1]:
            return None
        gaps.append(math.log(times[0] / times[1]))
    if gaps[0] >= gaps[1]:
        return None
    share = -gaps[0] / (gaps[1] - gaps[0])
    return math.exp((1 - share) * math.log(sizes[0]) + share * math.log(sizes[1]))


def all_series(standings: Sequence[Standing]) -> list[Series]:
    """Gather the cases that are sizes of workloads, in the order of their first."""
    gathered: dict[tuple[str, ...], list[Standing]] = {}
    for standing in standings:
        if standing.case.workload and standing.case.size is not None:
            key = (standing.case.workload, *_setting(standing.case))
            gathered.setdefault(key, []).append(standing)
    return [
        Series(
            _title(key, list(gathered)),
            tuple(sorted(found, key=lambda s: s.case.size or 0)),
        )
        for key, found in gathered.items()
    ]


def places(chosen: Sequence[Standing], standings: Sequence[Standing]) -> list[Name]:
    """Name cases; a workload once where all of its sizes are among them."""
    ids = {id(standing) for standing in chosen}
    whole = {
        id(standing): series.title
        for series in all_series(standings)
        for standing in series.standings
        if len(series.standings) > 1 and ids.issuperset(map(id, series.standings))
    }
    return [
        Name(text)
        for text in dict.fromkeys(whole.get(id(s), s.case.name) for s in chosen)
    ]


def _setting(case: Case) -> tuple[str, str, str]:
    threads = "" if case.threads is None else f"threads {case.threads}"
    return case.device, case.dtype, threads


def _title(key: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> str:
    """Name a workload with what tells its setting from its others in the report."""
    same = [other for other in keys if other[0] == key[0]]
    told = [
        part
        for place, part in enumerate(key)
        if part and len({other[place] for other in same}) > 1
    ]
    return f"{key[0]} ({', '.join(told)})" if told else key[0]
