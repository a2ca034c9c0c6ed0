"""What computes a Jacobian when the candidate in use fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Composition
from jacengine.plans.compute import compute_nested
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.candidates import by_composition, candidates
from jacengine.selection.diagonal_reference import RECHECK_PASSES
from jacengine.selection.reference import Reference
from jacengine.selection.runnable import first_runnable
from jacengine.selection.select import Selection


def compute_by_first(
    problem: Problem,
    bound: BoundFunction,
    results: Iterable[CandidateResult],
    out: Any,
) -> tuple[CandidateResult, Sweep, Any] | None:
    """Compute by the first candidate that can, and verify what it computes.

    Returns:
        The candidate, its method made ready, and the Jacobian; `None` if none can.
    """
    reference = Reference.of(problem, bound, passes=RECHECK_PASSES)
    for result in results:
        if result.method is None:
            continue
        sweep = result.sweep or Sweep(problem, result.method)
        try:
            found = compute_nested(problem, bound, sweep, out=out, reference=reference)
        except (RuntimeError, MemoryError):
            continue
        return result, sweep, found
    return None


def untried(
    problem: Problem,
    bound: BoundFunction,
    selection: Selection,
    compositions: Sequence[Composition],
) -> Iterator[CandidateResult]:
    """Yield the candidates that a selection has not tried, and that run."""
    names = {r.strategy for r in selection.candidates if r.outcome == "skipped"}
    left = [c for c in compositions if c.name in names]
    for methods in by_composition(candidates(problem, left)):
        if methods[0].strategy.check(problem) is None:
            reference = Reference.of(problem, bound, passes=RECHECK_PASSES)
            found = first_runnable(problem, bound, methods, reference)
            if isinstance(found, Method):
                # One direction a pass: nothing is known of the memory it takes.
                method = replace(found, chunk_size=1)
                yield CandidateResult(method.name, "ok", method=method)
