"""A plan: a choice made once, for calls of one signature."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from jacengine.errors import (
    ArgumentError,
    JacengineError,
    NoStrategyError,
    UnsupportedError,
    nearest,
)
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Strategy
from jacengine.plans.serialization import describe_options, to_json
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import preserve_side_effects
from jacengine.problem.signature import Signature
from jacengine.results.buffer_pool import RESULTS, BufferPool
from jacengine.results.result_layout import nest
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.diagonal_reference import FEW
from jacengine.selection.eligibility import runnable
from jacengine.selection.explain import as_frame, as_text
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.selection.select import Selection
from jacengine.selection.verify import verify

if TYPE_CHECKING:
    import pandas as pd

ROOMY = 20
"""How many times a result has to fit into the budget for its memory to be kept."""


class Plan:
    """The chosen way to one Jacobian; call it with arguments of the same signature.

    Attributes:
        problem: What it computes.
        selection: Every candidate and what became of it.
        signature: What it is bound to.
        strategies: The candidates, tried or not.
        fallen: What went wrong with candidates that were in use, in words.
    """

    def __init__(
        self,
        problem: Problem,
        selection: Selection,
        signature: Signature,
        strategies: Sequence[Strategy] = (),
    ) -> None:
        self.problem = problem
        self.selection = selection
        self.signature = signature
        self.strategies = tuple(strategies)
        self.failures: tuple[str, ...] = ()
        self._use(selection.ranked)

    @property
    def chosen(self) -> CandidateResult:
        """The candidate that this plan uses."""
        return self._left[0]

    @property
    def strategy(self) -> str:
        """The name of the strategy that this plan uses."""
        return self.chosen.strategy

    def __call__(
        self, *args: Any, kwargs: Mapping[str, Any] | None = None, out: Any = None
    ) -> Any:
        """Compute the Jacobian at other arguments of the same signature.

        Args:
            args: The function's positional arguments.
            kwargs: Its keyword arguments.
            out: Preallocated result of the same structure, written in place.

        Returns:
            The Jacobian, `out` if it was given; with `has_aux`, `(J, aux)`.

        Raises:
            PlanMismatchError: The arguments have another signature.
            RuntimeError: What the function itself raises, or every candidate.
            MemoryError: No candidate fits into the memory that is left.
        """
        leaves = self.signature.leaves_of(self.problem.fn, args, kwargs or {})
        bound = self.problem.bound(leaves)
        try:
            return compute(
                self.problem, bound, self._kernel, out=out, reused=self._reused
            )
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, JacengineError):
                raise
            recovered = self._fall_back(bound, error, out)
            if recovered is None:
                raise
            return recovered

    def save(self, path: str | Path) -> None:
        """Write the choice to a JSON file, for `jacengine.load_plan`.

        Args:
            path: The file; it is replaced if it exists.
        """
        options = self.problem.options
        Path(path).write_text(to_json(self.selection, describe_options(options)))

    @property
    def _reused(self) -> BufferPool | None:
        """Where results lie, if what is kept there is nothing beside the budget."""
        ample = ROOMY * self.problem.result_bytes <= self.selection.budget
        return RESULTS if ample else None

    def _use(self, left: tuple[CandidateResult, ...]) -> None:
        self._left = left
        method = left[0].method
        if method is None:
            raise NoStrategyError(f"{left[0].strategy} was never qualified")
        self._kernel = left[0].kernel or Sweep(self.problem, method)

    def _fall_back(self, bound: BoundFunction, error: Exception, out: Any) -> Any:
        """Compute by the next candidate that can, and stay with it.

        Returns:
            The Jacobian; `None` if no other candidate can compute it either.
        """
        failed = self.chosen
        reference = Reference.of(self.problem, bound, passes=FEW)
        for record in self._others(bound, reference):
            if record.method is None:
                continue
            kernel = record.kernel or Sweep(self.problem, record.method)
            try:
                result = compute(
                    self.problem, bound, kernel, out=out, reference=reference
                )
            except (RuntimeError, MemoryError):
                continue
            outcome, reason = classify_error(error)
            said = f"{failed.strategy} failed ({outcome}: {reason})"
            self.failures = (*self.failures, said)
            self._left = (record, *(r for r in self._left[1:] if r is not record))
            self._kernel = kernel
            warnings.warn(
                f"jacengine: {said}; this plan goes on with {record.strategy}.",
                stacklevel=3,
            )
            return result
        return None

    def _others(
        self, bound: BoundFunction, reference: Reference
    ) -> Iterator[CandidateResult]:
        """Yield the candidates that come next: the verified, then those never tried."""
        yield from self._left[1:]
        untried = {r.strategy for r in self.selection.records if r.outcome == "skipped"}
        for strategy in self.strategies:
            if strategy.name in untried and strategy.check(self.problem) is None:
                found = runnable(self.problem, bound, strategy, reference)
                if isinstance(found, Method):
                    # One direction a pass: nothing is known of the memory it takes.
                    method = replace(found, chunk_size=1)
                    yield CandidateResult(
                        strategy.name, "ok", method=method, chunk_size=1
                    )

    def explain(self) -> str:
        """Say what was chosen and why, as a table of every candidate."""
        table = as_text(self.problem, self.selection)
        failures = [f"{said}; now in use: {self.strategy}." for said in self.failures]
        return "\n".join([*failures, table])

    def to_frame(self) -> pd.DataFrame:
        """Return every candidate as a row of a pandas data frame."""
        return as_frame(self.selection)

    def why_not(self, strategy: str) -> str:
        """Say in one sentence why a strategy is not the one in use.

        Raises:
            ArgumentError: It was not among the candidates.
        """
        known = {record.strategy: record for record in reversed(self.selection.records)}
        if strategy not in known:
            raise ArgumentError(
                f"{strategy!r} was not a candidate.{nearest(strategy, known)} There "
                f"were: {', '.join(known)}."
            )
        record, chosen = known[strategy], self.chosen
        if record is chosen:
            return f"{strategy} is the one in use."
        if record.outcome != "ok":
            return f"{strategy}: {record.outcome}: {record.reason}."
        if record.time_s is None or chosen.time_s is None:
            return f"{strategy} comes after {chosen.strategy} by predicted cost."
        return (
            f"{strategy} is right, but took {record.time_s / chosen.time_s:.2f} x the "
            f"time of {chosen.strategy}."
        )


def compute(
    problem: Problem,
    bound: BoundFunction,
    kernel: Sweep,
    *,
    out: Any = None,
    reference: Reference | None = None,
    reused: BufferPool | None = None,
) -> Any:
    """Compute a Jacobian by a kernel, nested (and with `aux`) as the user expects.

    Raises:
        UnsupportedError: It does not agree with `truth`, if that was given.
    """
    blocks = kernel.run(bound, out=out, reused=reused)
    if reference is not None:
        verdict = verify(problem, bound, kernel.method, reference, blocks)
        if not verdict.right:
            raise UnsupportedError(
                f"{kernel.name} cannot compute this {problem.title}: its result is "
                f"{verdict.complaint}. Try strategy='auto', which takes a method that "
                "agrees."
            )
    result = nest(problem, blocks) if out is None else out
    if not problem.options.has_aux:
        return result
    with torch.no_grad(), preserve_side_effects(problem.devices, problem.stateful):
        return result, bound.run(bound.leaves).aux
