"""Other libraries as candidates, with a deadline for their loops."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch import Tensor

from jacengine.bench.baselines.baseline import Baseline
from jacengine.report.case import Row
from jacengine.sweep.candidate import Candidate, TooSlowError, result_of
from jacengine.sweep.case_spec import CaseProblem
from jacengine.sweep.deadline import DeadlineError, deadline
from jacengine.timing import format_seconds, seconds

PREPARATION_S = 20.0
"""Seconds that the preparation of a library may take: some compile."""
MIN_SAMPLES = 4
"""Least number of samples that a run is extrapolated from."""


def library_candidate(baseline: Baseline, case: CaseProblem) -> Candidate:
    """Prepare a library's method that applies to a problem, as its users do.

    Its first run stops at the time limit; then its time is extrapolated from a few
    samples.

    Raises:
        TooSlowError: The preparation takes too long.
    """
    started = time.monotonic()
    try:
        with deadline(PREPARATION_S):
            prepared = baseline.prepare(case.workload, case.derivative)
    except DeadlineError:
        limit = format_seconds(PREPARATION_S)
        raise TooSlowError(None, f"not prepared within {limit}") from None
    preparation_s = time.monotonic() - started

    def first_run(limit_s: float) -> Any:
        try:
            with deadline(limit_s):
                return prepared.run()
        except DeadlineError:
            pass
        reason = f"stopped after {format_seconds(limit_s)}"
        # A library that compiles would compile each part anew.
        if preparation_s <= limit_s:
            expected_s, count = _extrapolate(baseline, case, limit_s)
            if expected_s > limit_s:
                reason = f"{reason}; extrapolated from 1 and {count} samples"
                raise TooSlowError(expected_s, reason)
        raise TooSlowError(None, reason)

    return Candidate(
        Row(baseline.name, "ok", kind="library"),
        prepared.run,
        lambda returned: result_of(case.problem, prepared.convert(returned)),
        first_run,
    )


def _extrapolate(
    baseline: Baseline, case: CaseProblem, limit_s: float
) -> tuple[float, int]:
    """Extrapolate linearly from one sample and several, as loops scale.

    Returns:
        Seconds of the whole run, zero if unknown, and the number of samples.
    """
    samples = case.problem.batch_size or 1
    if samples <= 2 * MIN_SAMPLES:
        return 0.0, 0

    def timed(count: int) -> float:
        args = (
            arg[:count] if isinstance(arg, Tensor) else arg
            for arg in case.derivative.args
        )
        part = replace(case.derivative, args=tuple(args))
        return seconds(baseline.prepare(case.workload, part).run, case.device)

    try:
        with deadline(limit_s):
            one_s = timed(1)
            fitting = int(limit_s / 4 / max(one_s, 1e-9))
            count = min(samples // 2, max(MIN_SAMPLES, fitting))
            several_s = timed(count)
    except DeadlineError:
        return 0.0, 0
    slope = max(0.0, (several_s - one_s) / (count - 1))
    return one_s + slope * (samples - 1), count
