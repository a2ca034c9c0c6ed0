"""Scaling of a workload's times with its size."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jacengine.report.case import Case
from jacengine.report.ranking import Ranking


class Crossover(NamedTuple):
    """The interpolated size at which one competitor overtakes another."""

    size: float
    before: str
    after: str


@dataclass(frozen=True)
class Series:
    """One workload in one setting, from small to large.

    The title has the workload, and its setting where there are several.
    """

    title: str
    rankings: tuple[Ranking, ...]

    @property
    def largest(self) -> Ranking:
        """The largest solved case, or else the largest."""
        solved = [r for r in self.rankings if r.winner is not None]
        return (solved or self.rankings)[-1]

    def times(self, method: str) -> dict[int, float]:
        """Return the times of a method at the sizes where it is correct and timed."""
        times: dict[int, float] = {}
        for ranking in self.rankings:
            for row in ranking.timed:
                size = ranking.case.size or 0
                if row.strategy == method and size > 0 and row.time_s:
                    times.setdefault(size, row.time_s)
        return times

    def slope(self, method: str) -> float | None:
        """Fit the power of the size with which a method's time grows."""
        times = self.times(method)
        if len(times) < 2:
            return None
        sizes = np.log(list(times))
        return float(np.polyfit(sizes, np.log(list(times.values())), 1)[0])

    def crossovers(self) -> list[Crossover]:
        """Find where the winner changes, and not by noise alone.

        Both must be timed on both sides, and one side at least must be clear.
        """
        found: list[Crossover] = []
        for low, high in pairwise(self.rankings):
            if low.winner is None or high.winner is None:
                continue
            before, after = low.winner.strategy, high.winner.strategy
            if before == after or (low.within_noise and high.within_noise):
                continue
            first, second = self.times(before), self.times(after)
            sizes = [r.case.size for r in (low, high) if r.case.size]
            sizes = [size for size in sizes if size in first and size in second]
            gaps = [math.log(first[size] / second[size]) for size in sizes]
            if len(gaps) == 2 and gaps[0] < gaps[1]:
                size = math.exp(np.interp(0.0, gaps, np.log(sizes)))
                found.append(Crossover(size, before, after))
        return found


def workload_series(rankings: Sequence[Ranking]) -> list[Series]:
    """Group the cases that are sizes of workloads, in the order of their first."""
    groups: defaultdict[tuple[str, ...], list[Ranking]] = defaultdict(list)
    for ranking in rankings:
        if ranking.case.workload and ranking.case.size is not None:
            groups[ranking.case.workload, *_setting(ranking.case)].append(ranking)
    return [
        Series(
            _title(key, list(groups)),
            tuple(sorted(found, key=lambda r: r.case.size or 0)),
        )
        for key, found in groups.items()
    ]


def case_names(chosen: Sequence[Ranking], rankings: Sequence[Ranking]) -> list[str]:
    """Name cases; a workload once if all of its sizes are among them."""
    members = set(chosen)
    complete = {
        ranking: series.title
        for series in workload_series(rankings)
        for ranking in series.rankings
        if len(series.rankings) > 1 and members.issuperset(series.rankings)
    }
    return list(dict.fromkeys(complete.get(r, r.case.name) for r in chosen))


def _setting(case: Case) -> tuple[str, str, str]:
    threads = "" if case.threads is None else f"threads {case.threads}"
    return case.device, case.dtype, threads


def _title(key: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> str:
    """Name a workload and what distinguishes its setting from its others."""
    columns = zip(*(other for other in keys if other[0] == key[0]), strict=True)
    differing = [
        part
        for part, values in zip(key, columns, strict=True)
        if part and len(set(values)) > 1
    ]
    return f"{key[0]} ({', '.join(differing)})" if differing else key[0]
