"""Other libraries as contenders, with a deadline where they loop."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch import Tensor

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.workload import DerivativeSpec as Question
from jacengine.bench.workload import Workload
from jacengine.problem.problem import Problem
from jacengine.report.case import Row
from jacengine.sweep.candidate import Blocks, Contender, TooSlow, blocks_of
from jacengine.sweep.deadline import DeadlineError, deadline
from jacengine.timing import format_seconds, seconds

PREPARING = 20.0
"""Seconds that a library may take to prepare itself at least: some compile."""
FEWEST = 4
"""Samples that a run is extrapolated from at least; as many as a while allows."""


class Library(Contender):
    """A library's way, prepared as its users prepare it."""

    def __init__(
        self,
        baseline: Baseline,
        workload: Workload,
        size: int,
        question: Question,
        problem: Problem,
    ) -> None:
        """Prepare a baseline.

        Args:
            baseline: Which one; it applies.
            workload: What is asked for.
            size: At which size.
            question: The same, built.
            problem: The same, examined.
        """
        super().__init__(Row(baseline.name, "ok", kind="library"))
        self._baseline = baseline
        self._workload = workload
        self._size = size
        self._question = question
        self._problem = problem
        begun = time.monotonic()
        self._prepared = self._prepare(question)
        self._preparing_s = time.monotonic() - begun

    def first(self, limit_s: float) -> Any:
        """Run, and stop if it takes too long.

        Args:
            limit_s: When to give up.

        Returns:
            What the library returns.

        Raises:
            TooSlow: It takes longer; the time is extrapolated from a few samples.
        """
        try:
            with deadline(limit_s):
                return self._prepared.run()
        except DeadlineError:
            pass
        stopped = f"stopped after {format_seconds(limit_s)}"
        expected, count = self._extrapolated(limit_s)
        if expected <= limit_s:
            raise TooSlow(None, stopped)
        raise TooSlow(expected, f"{stopped}; extrapolated from 1 and {count} samples")

    def run(self) -> Any:
        """Run what was prepared."""
        return self._prepared.run()

    def blocks(self, result: Any) -> Blocks:
        """Convert the result to tensors and take it apart."""
        return blocks_of(self._problem, self._prepared.convert(result))

    def _prepare(self, question: Question) -> Prepared:
        try:
            with deadline(PREPARING):
                return self._baseline.prepare(self._workload, question)
        except DeadlineError:
            limit = format_seconds(PREPARING)
            raise TooSlow(None, f"not prepared within {limit}") from None

    def _extrapolated(self, limit_s: float) -> tuple[float, int]:
        """Time one sample and some: a line through two points, as loops are.

        Returns:
            Seconds of the whole, zero if they cannot be told, and how many some were.
        """
        samples = self._problem.batch_size or 1
        # A library that compiles would compile each part anew.
        if samples <= 2 * FEWEST or self._preparing_s > limit_s:
            return 0.0, 0
        try:
            with deadline(limit_s):
                one_s = self._seconds_of(1)
                fitting = int(limit_s / 4 / max(one_s, 1e-9))
                count = min(samples // 2, max(FEWEST, fitting))
                some_s = self._seconds_of(count)
        except DeadlineError:
            return 0.0, 0
        slope = max(0.0, (some_s - one_s) / (count - 1))
        return one_s + slope * (samples - 1), count

    def _seconds_of(self, count: int) -> float:
        question = _narrowed(self._question, count)
        part = self._baseline.prepare(self._workload, question)
        return seconds(part.run, self._problem.outputs[0].device)


def _narrowed(question: Question, count: int) -> Question:
    """Return the question about the first samples only."""
    args = tuple(
        arg[:count] if isinstance(arg, Tensor) else arg for arg in question.args
    )
    return replace(question, args=args)
