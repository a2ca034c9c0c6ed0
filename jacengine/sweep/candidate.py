"""Candidates: each strategy and the choice of `auto`, run and verified in one way."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jacengine.execution.sweep import Sweep
from jacengine.plans.plan import Plan
from jacengine.problem.problem import Problem
from jacengine.report.case import COMPILED, Kind, Row
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.candidate_result import CandidateResult, classify_error
from jacengine.selection.reference import Reference
from jacengine.sweep.case_spec import CaseProblem
from jacengine.sweep.limits import Limits
from jacengine.sweep.memory_flops import count_memory_and_flops
from jacengine.task import Task
from jacengine.timing import format_seconds, seconds


class TooSlowError(Exception):
    """A first run was stopped, or not started, because it takes too long.

    Attributes:
        expected_s: The extrapolated time of a whole run, if it is known.
    """

    def __init__(self, expected_s: float | None, reason: str) -> None:
        super().__init__(reason)
        self.expected_s = expected_s


class StructureError(ValueError):
    """A result does not have the structure of the Jacobian."""


class Candidate:
    """One way to compute the Jacobian of a case; a step that fails is its last.

    Attributes:
        row: What is known so far.
        run: Computes the Jacobian. This is what is timed.
        result: Converts what `run` returned, or raises a `StructureError`.
        first_run: Runs for the first time; raises a `TooSlowError` at a time limit.
        best_s: The fastest run so far, infinite before the first.
    """

    def __init__(
        self,
        row: Row,
        run: Callable[[], Any],
        result: Callable[[Any], Result],
        first_run: Callable[[float], Any] | None = None,
    ) -> None:
        self.row = row
        self.run = run
        self.result = result
        self.first_run = first_run or (lambda _: run())
        self.best_s = math.inf

    @property
    def correct(self) -> bool:
        """Whether no step has failed so far."""
        return self.row.outcome == "ok"

    def verify(
        self, reference: Reference, device: torch.device, limits: Limits, limit_s: float
    ) -> None:
        """Run for the first time, within a limit, and compare with the reference.

        A short run is repeated, since a first run includes the set-up.
        """
        results: list[Any] = []
        try:
            taken_s = seconds(lambda: results.append(self.first_run(limit_s)), device)
            self.row = replace(self.row, first_s=taken_s, time_s=taken_s, runs=1)
            verdict = reference.judge(self.result(results.pop()))
            self.row = replace(self.row, error=verdict.error)
            if not verdict.right:
                outcome = "wrong" if verdict.finite else "nonfinite"
                self._end(outcome, verdict.complaint)
                return
            self.best_s = taken_s
            if taken_s <= limits.least_s:
                again_s = seconds(self.run, device)
                self.best_s = min(self.best_s, again_s)
                self.row = replace(self.row, time_s=again_s, runs=2)
        except TooSlowError as error:
            self._end("skipped", str(error))
            self.row = replace(self.row, time_s=error.expected_s)
        except StructureError as error:
            self._end("wrong", str(error))
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Record an exception of a run."""
        self._end(*classify_error(error))

    def record(self, times: Sequence[float]) -> None:
        """Record the times of the rounds."""
        if times:
            self.best_s = min(self.best_s, *times)
            self.row = replace(
                self.row,
                time_s=statistics.median(times),
                times=tuple(times),
                runs=self.row.runs + len(times),
            )

    def count(self, device: torch.device, limits: Limits) -> None:
        """Count the memory and FLOPs of a run, if it is short."""
        if not self.correct or self.best_s > limits.counted_s:
            return
        try:
            peak, flops = count_memory_and_flops(self.run, device)
        except Exception:
            return
        self.row = replace(self.row, peak_bytes=peak, flops=flops)

    def _end(self, outcome: str, reason: str) -> None:
        notes = "; ".join(filter(None, [reason, self.row.notes]))
        self.row = replace(self.row, outcome=outcome, notes=notes)


def plan_candidate(plan: Plan, args: tuple[Any, ...], kind: Kind = "auto") -> Candidate:
    """Return the choice of `auto`: a plan, called as users call it."""
    row = _row_before_runs(plan.chosen, plan.chosen.notes)
    name = "auto" if kind == "auto" else COMPILED
    row = replace(row, strategy=name, kind=kind, picked=plan.strategy)
    return Candidate(row, lambda: plan(*args), partial(result_of, plan.problem))


def strategy_candidate(case: CaseProblem, result: CandidateResult) -> Candidate:
    """Return a strategy with the chunk size that a selection found.

    Its first run is not started if it is forecast to be too slow, and stops at the time
    limit between two passes.
    """
    assert result.method is not None
    sweep, forecast_s = Sweep(case.problem, result.method), result.forecast_s or 0.0

    def first_run(limit_s: float) -> Any:
        if forecast_s > limit_s:
            reason = f"not run: forecast to take {format_seconds(forecast_s)}"
            raise TooSlowError(forecast_s, reason)
        started = time.perf_counter()

        def progress(_: Task, done: float) -> None:
            taken_s = time.perf_counter() - started
            if done < 1 and taken_s > limit_s:
                reason = f"stopped after {format_seconds(taken_s)}, {done:.0%} done"
                raise TooSlowError(taken_s / max(done, 1e-9), reason)

        return sweep.run(case.bound, progress=progress, checked=True).blocks

    return Candidate(
        _row_before_runs(result, "; ".join(result.method.notes)),
        lambda: sweep.run(case.bound).blocks,
        partial(Result, ResultLayout(case.problem)),
        first_run,
    )


def _row_before_runs(result: CandidateResult, notes: str) -> Row:
    """Return the row of a selected candidate without its measurements."""
    row = Row.of(result)
    return Row(
        row.strategy,
        "ok",
        notes,
        row.chunk_size,
        row.forward_passes,
        row.backward_passes,
        predicted_bytes=row.predicted_bytes,
    )


def result_of(problem: Problem, result: Any) -> Result:
    """Convert a nested result of a function with one output to blocks.

    Args:
        problem: The problem that the result is of.
        result: A tensor; for parameters a dict of tensors by name, of a Hessian a dict
            of such dicts.

    Raises:
        StructureError: The structure or a shape differs from the expected one.
    """
    names = problem.call_spec.names if problem.part != "trace" else ()
    if problem.options.quantity == "hessian":
        blocks = [_by_name(row, names) for row in _by_name(result, names)]
    else:
        blocks = [_by_name(result, names)]
    layout = ResultLayout(problem)
    for (row, column), expected in layout.blocks.items():
        block = blocks[row][column]
        if not isinstance(block, Tensor) or tuple(block.shape) != expected.shape:
            got = tuple(block.shape) if isinstance(block, Tensor) else type(block)
            raise StructureError(f"it has shape {got}; expected {expected.shape}")
    return Result(layout, blocks)


def _by_name(result: Any, names: Sequence[str]) -> list[Any]:
    """List the entries of all parameters; without parameters, the one result."""
    if not names:
        return [result]
    missing = set(names) - set(result)
    if missing:
        raise StructureError(f"it lacks {sorted(missing)[0]}")
    return [result[name] for name in names]
