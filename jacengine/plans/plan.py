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
from jacengine.interface import Strategy
from jacengine.plans.saved import describe_options, to_json
from jacengine.problems.call import Call
from jacengine.problems.problem import Problem
from jacengine.problems.signature import Signature
from jacengine.problems.state import preserved
from jacengine.products.accumulate import Kernel
from jacengine.products.blueprint import nest
from jacengine.products.method import Method
from jacengine.products.reused import RESULTS, Reused
from jacengine.selection.classify import classify
from jacengine.selection.exact import FEW
from jacengine.selection.explain import as_frame, as_text
from jacengine.selection.qualify import runnable
from jacengine.selection.record import Record
from jacengine.selection.select import Selection
from jacengine.selection.truth import Truth
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
        self.fallen: tuple[str, ...] = ()
        self._use(selection.ranked)

    @property
    def chosen(self) -> Record:
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
        call = self.problem.bound(leaves)
        try:
            return compute(
                self.problem, call, self._kernel, out=out, reused=self._reused
            )
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, JacengineError):
                raise
            recovered = self._fall_back(call, error, out)
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
    def _reused(self) -> Reused | None:
        """Where results lie, if what is kept there is nothing beside the budget."""
        ample = ROOMY * self.problem.result_bytes <= self.selection.budget
        return RESULTS if ample else None

    def _use(self, left: tuple[Record, ...]) -> None:
        self._left = left
        method = left[0].method
        if method is None:
            raise NoStrategyError(f"{left[0].strategy} was never qualified")
        self._kernel = left[0].kernel or Kernel(self.problem, method)

    def _fall_back(self, call: Call, error: Exception, out: Any) -> Any:
        """Compute by the next candidate that can, and stay with it.

        Returns:
            The Jacobian; `None` if no other candidate can compute it either.
        """
        failed = self.chosen
        truth = Truth.of(self.problem, call, passes=FEW)
        for record in self._others(call, truth):
            if record.method is None:
                continue
            kernel = record.kernel or Kernel(self.problem, record.method)
            try:
                result = compute(self.problem, call, kernel, out=out, truth=truth)
            except (RuntimeError, MemoryError):
                continue
            outcome, reason = classify(error)
            said = f"{failed.strategy} failed ({outcome}: {reason})"
            self.fallen = (*self.fallen, said)
            self._left = (record, *(r for r in self._left[1:] if r is not record))
            self._kernel = kernel
            warnings.warn(
                f"jacengine: {said}; this plan goes on with {record.strategy}.",
                stacklevel=3,
            )
            return result
        return None

    def _others(self, call: Call, truth: Truth) -> Iterator[Record]:
        """Yield the candidates that come next: the verified, then those never tried."""
        yield from self._left[1:]
        untried = {r.strategy for r in self.selection.records if r.outcome == "skipped"}
        for strategy in self.strategies:
            if strategy.name in untried and strategy.check(self.problem) is None:
                found = runnable(self.problem, call, strategy, truth)
                if isinstance(found, Method):
                    # One direction a pass: nothing is known of the memory it takes.
                    method = replace(found, chunk_size=1)
                    yield Record(strategy.name, "ok", method=method, chunk_size=1)

    def explain(self) -> str:
        """Say what was chosen and why, as a table of every candidate."""
        table = as_text(self.problem, self.selection)
        fallen = [f"{said}; now in use: {self.strategy}." for said in self.fallen]
        return "\n".join([*fallen, table])

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
    call: Call,
    kernel: Kernel,
    *,
    out: Any = None,
    truth: Truth | None = None,
    reused: Reused | None = None,
) -> Any:
    """Compute a Jacobian by a kernel, nested (and with `aux`) as the user expects.

    Raises:
        UnsupportedError: It does not agree with `truth`, if that was given.
    """
    blocks = kernel.run(call, out=out, reused=reused)
    if truth is not None:
        verdict = verify(problem, call, kernel.method, truth, blocks)
        if not verdict.right:
            raise UnsupportedError(
                f"{kernel.name} cannot compute this {problem.title}: its result is "
                f"{verdict.complaint}. Try strategy='auto', which takes a method that "
                "agrees."
            )
    result = nest(problem, blocks) if out is None else out
    if not problem.options.has_aux:
        return result
    with torch.no_grad(), preserved(problem.devices, problem.stateful):
        return result, call.run(call.leaves).aux
