"""The interface of candidates: run, verify and time them in the same way."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from jacengine.problem.problem import Problem
from jacengine.report.case import Row
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.sweep.limits import Limits
from jacengine.sweep.memory_flops import count_memory_and_flops
from jacengine.timing import seconds


class TooSlowError(Exception):
    """A first run was stopped, or not started, because it takes too long.

    Attributes:
        expected_s: The extrapolated time of a whole run, if it is known.
    """

    def __init__(self, expected_s: float | None, reason: str) -> None:
        super().__init__(reason)
        self.expected_s = expected_s


class Candidate(ABC):
    """One way to compute the Jacobian of a case; a step that fails is its last.

    Attributes:
        row: What is known so far.
        best_s: The fastest run so far, infinite before the first.
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.best_s = math.inf

    @abstractmethod
    def run(self) -> Any:
        """Compute the Jacobian. This is what is timed."""

    @abstractmethod
    def result(self, returned: Any) -> Result:
        """Convert what `run` returned, to be verified.

        Raises:
            ValueError: It does not have the structure of the Jacobian.
        """

    def first_run(self, limit_s: float) -> Any:
        """Run for the first time.

        Args:
            limit_s: The time limit.

        Returns:
            The result of `run`.

        Raises:
            TooSlowError: The run exceeds the limit.
        """
        del limit_s
        return self.run()

    @property
    def correct(self) -> bool:
        """Whether no step has failed so far."""
        return self.row.outcome == "ok"

    def verify(
        self, reference: Reference, device: torch.device, limits: Limits, limit_s: float
    ) -> None:
        """Run for the first time and compare the result with the reference.

        A short run is repeated, since a first run includes the set-up.

        Args:
            reference: The reference derivative.
            device: The device that the candidate runs on.
            limits: How long a case may take.
            limit_s: The time limit of the first run.
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
        except TooSlowError as error:
            self._end("skipped", str(error))
            self.row = replace(self.row, time_s=error.expected_s)
            return
        except ValueError as error:
            self._end("wrong", str(error))
            return
        except Exception as error:
            self.fail(error)
            return
        self.best_s = taken_s
        if taken_s <= limits.least_s:
            try:
                again_s = seconds(self.run, device)
            except Exception as error:
                self.fail(error)
                return
            self.best_s = min(self.best_s, again_s)
            self.row = replace(self.row, time_s=again_s, runs=2)

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


def result_of(problem: Problem, result: Any) -> Result:
    """Convert a nested result of a function with one output.

    Args:
        problem: The problem that the result is of.
        result: A tensor; for parameters a dict of tensors by name, of a Hessian a dict
            of such dicts.

    Returns:
        The result, in blocks.

    Raises:
        ValueError: The structure or a shape differs from the expected one.
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
            raise ValueError(f"it has shape {got}; expected {expected.shape}")
    return Result(layout, blocks)


def _by_name(result: Any, names: Sequence[str]) -> list[Any]:
    """List the entries of all parameters; without parameters, the one result."""
    if not names:
        return [result]
    missing = set(names) - set(result)
    if missing:
        raise ValueError(f"it lacks {sorted(missing)[0]}")
    return [result[name] for name in names]
