"""Comparison of two runs of the same cases: regressions and improvements."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jacengine.report.case import Case, Report, Row

Verdict = Literal["regressed", "unclear", "improved", "same"]
Quantity = Literal["time", "memory"]
CONFIDENCE = 0.99
"""The level of each confidence interval: a run has hundreds, each may be wrong."""
RESAMPLES = 2000
MIN_TIMES = 3
"""Times that a confidence interval needs on either side."""
TICK = 1e-12
"""The least median in seconds, so that ratios of zero times exist."""


@dataclass(frozen=True)
class Difference:
    """One candidate in two runs.

    Attributes:
        case: The case's name.
        candidate: The candidate's name.
        kind: The kind of the candidate, as in `Row`.
        quantity: The quantity that is compared.
        base: Seconds or bytes before, `None` without a correct result.
        new: Seconds or bytes now.
        low: The lower end of the confidence interval of new over base ...
        high: ... and the upper end.
        verdict: The conclusion.
    """

    case: str
    candidate: str
    kind: str
    quantity: Quantity
    base: float | None
    new: float | None
    low: float | None
    high: float | None
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """New over base."""
        return self.new / self.base if self.base and self.new is not None else None


def compare(
    base: Report, new: Report, *, time: float = 0.1, memory: float = 0.05
) -> list[Difference]:
    """Compare the cases that two runs have in common, candidate by candidate.

    Relative changes of up to `time` and `memory` (of its peak) count as the same.
    """
    before = {case.name: case for case in base.cases}
    found: list[Difference] = []
    for case in new.cases:
        if case.name not in before:
            continue
        for one, other in _pairs(before[case.name], case):
            found.append(_compare_times(case.name, one, other, time))
            if one.peak_bytes and other.peak_bytes:
                # Peaks are counted and have no noise.
                ratio = other.peak_bytes / one.peak_bytes
                verdict = _verdict(ratio, ratio, memory)
                peaks = one.peak_bytes, other.peak_bytes, ratio, ratio, verdict
                found.append(
                    Difference(case.name, other.strategy, other.kind, "memory", *peaks)
                )
    return found


def common_cases(base: Report, new: Report) -> int:
    """Count the cases that two runs have in common."""
    return len({c.name for c in base.cases} & {c.name for c in new.cases})


def confidence_interval(
    base: Sequence[float], new: Sequence[float]
) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of medians, new over base.

    Percentiles of the ratios of resampled medians (B. Efron, 1979, "Bootstrap methods:
    another look at the jackknife", https://doi.org/10.1214/aos/1176344552).
    """
    from scipy import stats  # noqa: PLC0415 - it takes over a second to import

    def ratio(base: Any, new: Any, axis: int) -> Any:
        return np.median(new, axis) / np.maximum(np.median(base, axis), TICK)

    found = stats.bootstrap(
        (base, new),
        ratio,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        rng=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def _pairs(base: Case, new: Case) -> Iterator[tuple[Row, Row]]:
    """Yield the candidates that were correct in at least one of the runs."""
    earlier = {(row.kind, row.strategy): row for row in base.rows}
    for row in new.rows:
        one = earlier.get((row.kind, row.strategy))
        if one is not None and (one.outcome == "ok" or row.outcome == "ok"):
            yield one, row
    if not new.rows and not new.skipped:  # the case as a whole has failed
        for row in base.rows:
            if row.outcome == "ok" and row.kind != "library":
                yield row, Row(row.strategy, "error", new.failure, kind=row.kind)


def _compare_times(case: str, base: Row, new: Row, tolerance: float) -> Difference:
    low = high = None
    verdict: Verdict = "unclear"
    if base.outcome == "ok" and new.outcome not in {"ok", "skipped"}:
        verdict = "regressed"  # it was correct before
    elif len(base.times) >= MIN_TIMES and len(new.times) >= MIN_TIMES:
        low, high = confidence_interval(base.times, new.times)
        verdict = _verdict(low, high, tolerance)
    medians = _median(base), _median(new)
    return Difference(
        case, new.strategy, new.kind, "time", *medians, low, high, verdict
    )


def _verdict(low: float, high: float, tolerance: float) -> Verdict:
    slowest, fastest = 1 + tolerance, 1 / (1 + tolerance)
    if low > slowest:
        return "regressed"
    if high < fastest:
        return "improved"
    return "same" if fastest <= low and high <= slowest else "unclear"


def _median(row: Row) -> float | None:
    if row.outcome != "ok":
        return None
    return statistics.median(row.times) if row.times else row.time_s
