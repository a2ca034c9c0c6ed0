"""Other libraries as candidates, with a deadline for their loops."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch import Tensor

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.workload import DerivativeSpec
from jacengine.report.case import Row
from jacengine.results.result import Result
from jacengine.sweep.candidate import Candidate, TooSlowError, result_of
from jacengine.sweep.case_spec import CaseProblem
from jacengine.sweep.deadline import DeadlineError, deadline
from jacengine.timing import format_seconds, seconds

PREPARATION_S = 20.0
"""Seconds that the preparation of a library may take: some compile."""
MIN_SAMPLES = 4
"""Least number of samples that a run is extrapolated from."""


class LibraryCandidate(Candidate):
    """A library's method, prepared as its users prepare it."""

    def __init__(self, baseline: Baseline, case: CaseProblem) -> None:
        """Prepare a baseline that applies to a problem.

        Raises:
            TooSlowError: The preparation takes too long.
        """
        super().__init__(Row(baseline.name, "ok", kind="library"))
        self._baseline = baseline
        self._case = case
        started = time.monotonic()
        try:
            with deadline(PREPARATION_S):
                self._prepared = self._prepare(case.derivative)
        except DeadlineError:
            limit = format_seconds(PREPARATION_S)
            raise TooSlowError(None, f"not prepared within {limit}") from None
        self._preparation_s = time.monotonic() - started

    def first_run(self, limit_s: float) -> Any:
        """Run, and stop at the time limit.

        Raises:
            TooSlowError: The run exceeds the limit; its time is extrapolated from a few
                samples.
        """
        try:
            with deadline(limit_s):
                return self._prepared.run()
        except DeadlineError:
            pass
        reason = f"stopped after {format_seconds(limit_s)}"
        expected_s, count = self._extrapolate(limit_s)
        if expected_s <= limit_s:
            raise TooSlowError(None, reason)
        reason = f"{reason}; extrapolated from 1 and {count} samples"
        raise TooSlowError(expected_s, reason)

    def run(self) -> Any:
        """Run what was prepared."""
        return self._prepared.run()

    def result(self, returned: Any) -> Result:
        """Convert the result to tensors and split it."""
        return result_of(self._case.problem, self._prepared.convert(returned))

    def _prepare(self, derivative: DerivativeSpec) -> Prepared:
        return self._baseline.prepare(self._case.workload, derivative)

    def _extrapolate(self, limit_s: float) -> tuple[float, int]:
        """Extrapolate linearly from one sample and several, as loops scale.

        Returns:
            Seconds of the whole run, zero if unknown, and the number of samples.
        """
        samples = self._case.problem.batch_size or 1
        # A library that compiles would compile each part anew.
        if samples <= 2 * MIN_SAMPLES or self._preparation_s > limit_s:
            return 0.0, 0
        try:
            with deadline(limit_s):
                one_s = self._time_samples(1)
                fitting = int(limit_s / 4 / max(one_s, 1e-9))
                count = min(samples // 2, max(MIN_SAMPLES, fitting))
                several_s = self._time_samples(count)
        except DeadlineError:
            return 0.0, 0
        slope = max(0.0, (several_s - one_s) / (count - 1))
        return one_s + slope * (samples - 1), count

    def _time_samples(self, count: int) -> float:
        """Time a run on the first samples only."""
        derivative = self._case.derivative
        args = tuple(
            arg[:count] if isinstance(arg, Tensor) else arg for arg in derivative.args
        )
        part = self._prepare(replace(derivative, args=args))
        return seconds(part.run, self._case.device)
