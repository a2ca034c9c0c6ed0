"""Other libraries as contenders, with a deadline where they loop."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from torch import Tensor

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.workload import Question, Workload
from jacengine.measure import format_seconds, seconds
from jacengine.problems.problem import Problem
from jacengine.report.case import Row
from jacengine.sweep.contender import Blocks, Contender, TooSlow, blocks_of
from jacengine.sweep.deadline import DeadlineError, deadline

PREPARING = 20.0
"""Seconds that a library may take to prepare itself at least: some compile."""
PARTS = (1, 4)
"""Samples that a run is extrapolated from."""


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
        expected = self._extrapolated(limit_s)
        if expected is None or expected <= limit_s:
            raise TooSlow(None, stopped)
        few = " and ".join(map(str, PARTS))
        raise TooSlow(
            expected, f"{stopped}; its time is extrapolated from {few} samples"
        )

    def run(self) -> Any:
        """Run what was prepared."""
        return self._prepared.run()

    def blocks(self, result: Any) -> Blocks:
        """Convert the result to tensors and take it apart."""
        return blocks_of(self._problem, self._prepared.convert(result))

    def _prepare(self, question: Question) -> Prepared:
        try:
            with deadline(PREPARING):
                return self._baseline.prepare(self._workload, self._size, question)
        except DeadlineError:
            limit = format_seconds(PREPARING)
            raise TooSlow(None, f"not prepared within {limit}") from None

    def _extrapolated(self, limit_s: float) -> float | None:
        """Time a few samples: a line through two points, as loops are."""
        samples = self._problem.batch_size
        if samples is None or samples <= max(PARTS):
            return None
        if self._preparing_s > limit_s:  # each part would be compiled anew
            return None
        device = self._problem.outputs[0].device
        times: list[float] = []
        for count in PARTS:
            part = self._prepare(_narrowed(self._question, count))
            try:
                with deadline(limit_s):
                    part.run()
                    times.append(seconds(part.run, device))
            except DeadlineError:
                return None
        slope = max(0.0, (times[1] - times[0]) / (PARTS[1] - PARTS[0]))
        return times[0] + slope * (samples - PARTS[0])


def _narrowed(question: Question, count: int) -> Question:
    """Return the question about the first samples only."""
    args = tuple(
        arg[:count] if isinstance(arg, Tensor) else arg for arg in question.args
    )
    return replace(question, args=args)
