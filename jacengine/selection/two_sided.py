"""The candidate that pushes the colours of columns and pulls those of rows.

Any method that pushes goes with any that pulls. The fastest of each, by a forecast from
a few directions, make one candidate, which is verified and raced as all others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from jacengine.execution.method import TWO_SIDED, Method
from jacengine.interface import Composition, Mode
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.colored import two_sided_coloring_for
from jacengine.seeding.samples import SamplePolicy, sample_policies
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.candidates import predicted_cost
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.reference import Reference


def two_sided_candidate(
    problem: Problem,
    bound: BoundFunction,
    compositions: Sequence[Composition],
    reference: Reference,
    budget: int,
    *,
    timed: bool,
) -> CandidateResult | None:
    """Pair the best method that pushes with the best that pulls.

    Args:
        problem: What is computed.
        bound: The function at its arguments.
        compositions: The strategies that may be used.
        reference: What a sample policy must reproduce.
        budget: Bytes that it may allocate.
        timed: Whether the best are the fastest, and not the first of the cost model.

    Returns:
        The candidate; `None` if both sides take no fewer colours than one of them, or
        nothing pushes, or nothing pulls.
    """
    if two_sided_coloring_for(problem) is None:
        return None

    def best(mode: Mode) -> CandidateResult | None:
        tried = (
            check_eligibility(problem, bound, methods, reference, budget, timed=timed)
            for methods in _methods(problem, compositions, mode)
        )
        right = (result for result in tried if result.outcome == "ok")
        if not timed:
            return next(right, None)
        return min(right, key=lambda result: result.forecast_s or 0.0, default=None)

    pushed = best("jvp")
    pulled = None if pushed is None else best("vjp")
    if pushed is None or pushed.method is None or pulled is None:
        return None
    method = replace(pushed.method, other=pulled.method)
    check_bytes = method.sides[-1].seeds(problem).check_bytes * problem.sample_count
    peaks = [side.predicted_bytes or 0 for side in (pushed, pulled)]
    return replace(
        pushed,
        method=method,
        largest_chunk=None,
        memory_model=None,
        passes=method.passes(problem),
        forecast_s=(pushed.forecast_s or 0.0) + (pulled.forecast_s or 0.0),
        predicted_bytes=max(peaks) + check_bytes,
    )


def _methods(
    problem: Problem, compositions: Sequence[Composition], mode: Mode
) -> Iterator[tuple[Method, ...]]:
    """Yield the methods of each strategy of a mode, in the order of the cost model."""
    found: list[tuple[Method, ...]] = []
    for composition in compositions:
        able = composition.capabilities
        if able.mode == mode:
            apart = [
                Method(composition.strategy, composition.gradient, p, seeding=TWO_SIDED)
                for p in sample_policies(problem, able)
                if p is not SamplePolicy.COUPLED_ROWS
            ]
            found.append(tuple(apart))
    possible = filter(None, found)
    yield from sorted(possible, key=lambda each: predicted_cost(problem, each[0]))
