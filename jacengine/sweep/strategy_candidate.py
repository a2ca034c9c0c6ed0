"""The candidates of jacengine itself: each strategy, and the choice of `auto`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Literal

from jacengine.execution.sweep import Sweep
from jacengine.plans.plan import Plan
from jacengine.report.case import COMPILED, Row
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.candidate_result import CandidateResult
from jacengine.sweep.candidate import Candidate, TooSlowError, result_of
from jacengine.sweep.case_problem import CaseProblem
from jacengine.task import Task
from jacengine.timing import format_seconds


class PlanCandidate(Candidate):
    """The choice of `auto`: a plan, called as users call it."""

    def __init__(
        self,
        plan: Plan,
        args: tuple[Any, ...],
        *,
        kind: Literal["auto", "compiled"] = "auto",
    ) -> None:
        super().__init__(
            replace(
                _row_before_runs(plan.chosen, plan.chosen.notes),
                strategy="auto" if kind == "auto" else COMPILED,
                kind=kind,
                picked=plan.strategy,
            )
        )
        self._plan = plan
        self._args = args

    def run(self) -> Any:
        """Call the plan."""
        return self._plan(*self._args)

    def result(self, returned: Any) -> Result:
        """Split the nested result."""
        return result_of(self._plan.problem, returned)


class StrategyCandidate(Candidate):
    """A strategy with the chunk size that a selection found."""

    def __init__(self, case: CaseProblem, result: CandidateResult) -> None:
        assert result.method is not None
        super().__init__(
            replace(
                _row_before_runs(result, "; ".join(result.method.notes)),
                chunk_size=result.method.chunk_size,
            )
        )
        self._sweep = Sweep(case.problem, result.method)
        self._case = case
        self._forecast_s = result.forecast_s or 0.0

    def first_run(self, limit_s: float) -> Any:
        """Run, and stop between two passes at the time limit.

        Args:
            limit_s: The time limit.

        Returns:
            The blocks.

        Raises:
            TooSlowError: The run exceeds the limit, or is forecast to.
        """
        if self._forecast_s > limit_s:
            forecast = format_seconds(self._forecast_s)
            raise TooSlowError(
                self._forecast_s, f"not run: forecast to take {forecast}"
            )
        started = time.perf_counter()

        def progress(task: Task, done: float) -> None:
            del task
            taken_s = time.perf_counter() - started
            if done < 1 and taken_s > limit_s:
                reason = f"stopped after {format_seconds(taken_s)}, {done:.0%} done"
                raise TooSlowError(taken_s / max(done, 1e-9), reason)

        return self._sweep.run(self._case.bound, progress=progress, checked=True).blocks

    def run(self) -> Any:
        """Run all passes."""
        return self._sweep.run(self._case.bound).blocks

    def result(self, returned: Any) -> Result:
        """Return the blocks as a result."""
        return Result(ResultLayout(self._case.problem), returned)


def _row_before_runs(result: CandidateResult, notes: str) -> Row:
    """Return the row of a selected candidate without its measurements."""
    row = Row.of(result)
    return Row(
        row.strategy,
        "ok",
        notes,
        chunk_size=row.chunk_size,
        forward_passes=row.forward_passes,
        backward_passes=row.backward_passes,
        predicted_bytes=row.predicted_bytes,
    )
