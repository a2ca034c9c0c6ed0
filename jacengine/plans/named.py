"""Jacobians by a named strategy: verified once for a signature, then computed."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from jacengine.errors import (
    JacengineError,
    PatternError,
    PlanMismatchError,
    UnsupportedError,
)
from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Composition, Strategy
from jacengine.patterns.pattern import Pattern
from jacengine.plans.compute import compute_nested
from jacengine.plans.examine import examine
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.plans.sparse import verify_pattern, with_pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.problem import SPARSE, Problem
from jacengine.selection.candidate_result import classify_error
from jacengine.selection.candidates import candidates
from jacengine.selection.reference import Reference
from jacengine.selection.repeatability import refuse_unrepeatable
from jacengine.selection.runnable import first_runnable

_VERIFIED = ProcessCache[tuple[Problem, Sweep]](lambda found: found[0])


def compute_by_name(request: PlanRequest, chunk_size: int | None, out: Any) -> Any:
    """Compute a Jacobian by the one strategy of a request.

    Args:
        request: The request.
        chunk_size: Directions a pass, `None` for all at once.
        out: Preallocated result, written in place and returned.

    Raises:
        UnsupportedError: The strategy cannot compute it, with the reason.
        PatternError: J has a nonzero outside of the pattern that the user gave.
        JacengineError: See `jacengine.errors`.
    """
    (composition,) = request.compositions
    strategy = composition.strategy
    if _is_hashable(strategy):
        slot = _VERIFIED.slot(request, chunk_size, strategy)
    else:
        slot = _VERIFIED.slot(request, chunk_size, id(strategy), held=[strategy])
    known: Pattern | None = None
    if slot.value is not None:
        problem, sweep = slot.value
        callee, leaves = request.callee, request.leaves
        create_graph = request.options.create_graph
        refuse_lost_derivatives(callee, leaves, create_graph=create_graph)
        try:
            bound = problem.bind(callee, leaves)
            return compute_nested(problem, bound, sweep, out=out)
        except PlanMismatchError:  # outputs whose shape depends on values
            pass
        except PatternError:  # it has another pattern here
            if isinstance(request.options.sparsity, Pattern):
                raise
            known = problem.pattern
    with warnings.catch_warnings():
        # Torch's own, of operators under vmap; the result is verified.
        warnings.filterwarnings("ignore", message="An output with one or more elements")
        problem, sweep, result = _verified(request, composition, chunk_size, out, known)
    slot.keep((problem, sweep))
    return result


def _is_hashable(strategy: Strategy) -> bool:
    try:
        hash(strategy)
    except TypeError:  # an option that is a list, say
        return False
    return True


def _verified(
    request: PlanRequest,
    composition: Composition,
    chunk_size: int | None,
    out: Any,
    known: Pattern | None,
) -> tuple[Problem, Sweep, Any]:
    """Compute a Jacobian, and compare it with a random projection.

    Nonzeros that are `known` are added to a pattern that is found.

    Returns:
        The problem, the method made ready, and the Jacobian.

    Raises:
        UnsupportedError: It is another one, or cannot be computed.
        RandomnessError: The function differs from call to call.
    """
    problem, bound, reference = examine(request)
    if request.options.sparsity != "auto" or request.options.layout in SPARSE:
        problem = with_pattern(problem, request, known)
    method = runnable(problem, bound, composition, reference)
    sweep = Sweep(problem, replace(method, chunk_size=chunk_size))
    try:
        result = compute_nested(problem, bound, sweep, out=out, reference=reference)
    except UnsupportedError:
        verify_pattern(problem, bound, sweep.method)
        refuse_unrepeatable(problem, bound)
        raise
    return problem, sweep, result


def runnable(
    problem: Problem,
    bound: BoundFunction,
    composition: Composition,
    reference: Reference,
) -> Method:
    """Find how a strategy runs on a problem.

    Raises:
        UnsupportedError: It does not.
    """
    refusal = composition.strategy.check(problem)
    if refusal is not None:
        reason = refusal.reason
    else:
        methods = tuple(candidates(problem, [composition]))
        found = first_runnable(problem, bound, methods, reference)
        if isinstance(found, Method):
            return found
        if isinstance(found, JacengineError):
            raise found
        reason = classify_error(found)[1]
    raise UnsupportedError(
        f"{composition.name} cannot compute this {problem.title}: {reason}. Try "
        "strategy='auto', which finds one that can."
    )
