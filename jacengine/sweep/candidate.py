"""Contenders: every way to a Jacobian behind one interface, to be timed alike."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from jacengine.execution.sweep import Sweep
from jacengine.plans.plan import Plan
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.report.case import COMPILED, Row
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.candidate_result import CandidateResult
from jacengine.timing import format_seconds

Blocks = Sequence[Sequence[Tensor]]


class TooSlow(Exception):  # noqa: N818 - it stops a run, it reports no error
    """A first run was given up, or not begun.

    Attributes:
        expected_s: What the whole would take, as far as that is known.
        reason: In words.
    """

    def __init__(self, expected_s: float | None, reason: str) -> None:
        super().__init__(reason)
        self.expected_s = expected_s
        self.reason = reason


class Contender(ABC):
    """One way to the Jacobian of a case.

    Attributes:
        row: What is known of it beforehand.
    """

    def __init__(self, row: Row) -> None:
        self.row = row

    def first(self, limit_s: float) -> Any:
        """Run for the first time.

        Args:
            limit_s: When to give up.

        Returns:
            What `run` returns.

        Raises:
            TooSlow: It takes longer.
        """
        del limit_s
        return self.run()

    @abstractmethod
    def run(self) -> Any:
        """Compute the Jacobian. This is what is timed."""

    @abstractmethod
    def blocks(self, result: Any) -> Blocks:
        """Return what `run` returned as blocks, to be verified.

        Raises:
            ValueError: It has not the form of the Jacobian.
        """


class Chosen(Contender):
    """What `auto` chose: a plan, called as users call it."""

    def __init__(
        self,
        plan: Plan,
        args: tuple[Any, ...],
        *,
        kind: Literal["auto", "compiled"] = "auto",
    ) -> None:
        chosen = plan.chosen
        row = Row.of(chosen)
        super().__init__(
            Row(
                "auto" if kind == "auto" else COMPILED,
                "ok",
                row.notes,
                chunk_size=row.chunk_size,
                forward_passes=row.forward_passes,
                backward_passes=row.backward_passes,
                predicted_bytes=row.predicted_bytes,
                kind=kind,
                picked=plan.strategy,
            )
        )
        self._plan = plan
        self._args = args

    def run(self) -> Any:
        """Call the plan."""
        return self._plan(*self._args)

    def blocks(self, result: Any) -> Blocks:
        """Take the nested result apart."""
        return blocks_of(self._plan.problem, result)


class Named(Contender):
    """A strategy with the chunk that a selection found."""

    def __init__(
        self, problem: Problem, call: BoundFunction, record: CandidateResult
    ) -> None:
        assert record.method is not None
        row = Row.of(record)
        super().__init__(
            Row(
                row.strategy,
                "ok",
                "; ".join(record.method.notes),
                chunk_size=record.method.chunk_size,
                forward_passes=row.forward_passes,
                backward_passes=row.backward_passes,
                predicted_bytes=row.predicted_bytes,
            )
        )
        self._kernel = Sweep(problem, record.method)
        self._call = call
        self._forecast_s = record.forecast_s or 0.0

    def first(self, limit_s: float) -> Any:
        """Run, and stop between two passes if it takes too long.

        Args:
            limit_s: When to give up.

        Returns:
            The blocks.

        Raises:
            TooSlow: It takes longer, or it is forecast to.
        """
        if self._forecast_s > limit_s:
            taken = format_seconds(self._forecast_s)
            raise TooSlow(self._forecast_s, f"not run: forecast to take {taken}")
        begun = time.perf_counter()

        def progress(done: float) -> None:
            taken = time.perf_counter() - begun
            if done < 1 and taken > limit_s:
                share = f"stopped after {format_seconds(taken)}, {done:.0%} done"
                raise TooSlow(taken / max(done, 1e-9), share)

        return self._kernel.run(self._call, progress=progress, checked=True)

    def run(self) -> Any:
        """Run the kernel."""
        return self._kernel.run(self._call)

    def blocks(self, result: Any) -> Blocks:
        """Return the blocks, which the result is."""
        found: Blocks = result
        return found


def blocks_of(problem: Problem, result: Any) -> Blocks:
    """Take a nested result of a function with one output apart.

    Args:
        problem: What was to be computed.
        result: A tensor; for parameters a dict of tensors by name, of a Hessian a dict
            of such dicts.

    Returns:
        Its blocks, outputs by inputs.

    Raises:
        ValueError: It is something else, or a shape is not the right one.
    """
    names = problem.call_spec.names if problem.part != "trace" else ()
    if problem.options.quantity == "hessian":
        lines = [_by_name(line, names) for line in _by_name(result, names)]
    else:
        lines = [_by_name(result, names)]
    for (row, column), expected in ResultLayout(problem).blocks.items():
        block = lines[row][column]
        if not isinstance(block, Tensor) or tuple(block.shape) != expected.shape:
            got = tuple(block.shape) if isinstance(block, Tensor) else type(block)
            raise ValueError(f"it has shape {got}; expected {expected.shape}")
    return lines


def _by_name(result: Any, names: Sequence[str]) -> list[Any]:
    """List what there is for each parameter; without parameters, the one result."""
    if not names:
        return [result]
    missing = set(names) - set(result)
    if missing:
        raise ValueError(f"it lacks {sorted(missing)[0]}")
    return [result[name] for name in names]
