"""Two runs of the same cases: what became slower, what faster, what cannot be told."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jacengine.report.case import Case, Report, Row

Word = Literal["regressed", "improved", "same", "unclear"]
Quantity = Literal["time", "memory"]
CONFIDENCE = 0.99
"""Of each interval: a run has hundreds of them, and each may be wrong."""
RESAMPLES = 2000
ENOUGH = 3
"""Times that an interval needs on either side."""


@dataclass(frozen=True)
class Difference:
    """One contender in two runs.

    Attributes:
        case: The case's name.
        contender: The contender's name.
        kind: Whose it is.
        quantity: What is compared.
        base: Seconds or bytes before, `None` where there is no right result.
        new: Seconds or bytes now.
        low: The interval of new over base ...
        high: ... which holds the true ratio with `CONFIDENCE`.
        word: What it amounts to.
    """

    case: str
    contender: str
    kind: str
    quantity: Quantity
    base: float | None
    new: float | None
    low: float | None
    high: float | None
    word: Word

    @property
    def ratio(self) -> float | None:
        """New over base."""
        return self.new / self.base if self.base and self.new is not None else None


def compare(
    base: Report, new: Report, *, time: float = 0.1, memory: float = 0.05
) -> list[Difference]:
    """Compare the cases that two runs have in common, contender by contender.

    Args:
        base: The run before.
        new: The run now.
        time: The share by which a time may grow or shrink and count as the same.
        memory: The same for peak memory.
    """
    before = {case.name: case for case in base.cases}
    found: list[Difference] = []
    for case in new.cases:
        earlier = before.get(case.name)
        if earlier is not None:
            for one, other in _pairs(earlier, case):
                found.append(_in_time(case.name, one, other, time))
                if one.peak_bytes and other.peak_bytes:
                    found.append(_in_memory(case.name, one, other, memory))
    return found


def common_cases(base: Report, new: Report) -> int:
    """Count the cases that two runs have in common."""
    return len({c.name for c in base.cases} & {c.name for c in new.cases})


def interval(base: Sequence[float], new: Sequence[float]) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of medians, new over base.

    Percentiles of the ratios of resampled medians (B. Efron, 1979, "Bootstrap methods:
    another look at the jackknife", https://doi.org/10.1214/aos/1176344552).

    Args:
        base: Times before.
        new: Times now.
    """
    generator = np.random.default_rng(0)

    def medians(times: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        drawn = generator.choice(np.asarray(times), size=(RESAMPLES, len(times)))
        return np.asarray(np.median(drawn, axis=1), dtype=np.float64)

    ratios = medians(new) / np.maximum(medians(base), 1e-12)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)


def _pairs(base: Case, new: Case) -> Iterator[tuple[Row, Row]]:
    """Yield the contenders that were right in one of the runs at least."""
    earlier = {(row.kind, row.strategy): row for row in base.rows}
    for row in new.rows:
        one = earlier.get((row.kind, row.strategy))
        if one is not None and (one.outcome == "ok" or row.outcome == "ok"):
            yield one, row
    if not new.rows:  # the case as a whole has failed
        for row in base.rows:
            if row.outcome == "ok" and row.kind != "library":
                yield row, Row(row.strategy, "error", new.failure, kind=row.kind)


def _in_time(case: str, base: Row, new: Row, tolerance: float) -> Difference:
    low = high = None
    word: Word = "unclear"
    if base.outcome == "ok" and new.outcome not in {"ok", "skipped"}:
        word = "regressed"  # it was right, and now it is not
    elif len(base.times) >= ENOUGH and len(new.times) >= ENOUGH:
        low, high = interval(base.times, new.times)
        word = _word(low, high, tolerance)
    return Difference(
        case,
        new.strategy,
        new.kind,
        "time",
        _median(base),
        _median(new),
        low,
        high,
        word,
    )


def _in_memory(case: str, base: Row, new: Row, tolerance: float) -> Difference:
    """Compare peaks, which are counted and have no noise."""
    assert base.peak_bytes
    assert new.peak_bytes
    ratio = new.peak_bytes / base.peak_bytes
    return Difference(
        case,
        new.strategy,
        new.kind,
        "memory",
        base.peak_bytes,
        new.peak_bytes,
        ratio,
        ratio,
        _word(ratio, ratio, tolerance),
    )


def _word(low: float, high: float, tolerance: float) -> Word:
    slowest, fastest = 1 + tolerance, 1 / (1 + tolerance)
    if low > slowest:
        return "regressed"
    if high < fastest:
        return "improved"
    if fastest <= low and high <= slowest:
        return "same"
    return "unclear"


def _median(row: Row) -> float | None:
    if row.outcome != "ok":
        return None
    return statistics.median(row.times) if row.times else row.time_s
