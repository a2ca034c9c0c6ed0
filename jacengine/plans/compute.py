"""One Jacobian by a method that is ready: computed, compared if asked, and nested."""

from __future__ import annotations

from typing import Any

import torch

from jacengine._progress import jacobian_progress
from jacengine.errors import UnsupportedError
from jacengine.execution.sweep import Sweep
from jacengine.plans.shared_memory import refuse_shared_memory
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.buffer_pool import BufferPool
from jacengine.results.result import Result
from jacengine.selection.reference import Reference


def compute_nested(
    problem: Problem,
    bound: BoundFunction,
    sweep: Sweep,
    *,
    out: Any = None,
    reference: Reference | None = None,
    pool: BufferPool | None = None,
) -> Any:
    """Compute a Jacobian, nested (and with `aux`) as the user expects.

    Raises:
        ArgumentError: `out` shares memory with what the function reads.
        UnsupportedError: It does not agree with `reference`, if that was given.
    """
    if out is not None:
        refuse_shared_memory(problem, bound, out)
    progress = jacobian_progress()
    try:
        result = sweep.run(bound, out=out, pool=pool, progress=progress)
    finally:
        if progress is not None:
            progress.end()
    if reference is not None:
        verification = reference.verify(problem, bound, sweep.method, result)
        if not verification.right:
            raise UnsupportedError(
                f"{sweep.method.name} cannot compute this {problem.title}: its result "
                f"is {verification.complaint}. Try strategy='auto', which takes a "
                "method that agrees."
            )
    return answer(problem, bound, result, out)


def answer(
    problem: Problem, bound: BoundFunction, result: Result, out: Any = None
) -> Any:
    """Return what a result is to the user: nested, or `out`; with value and `aux`."""
    if not problem.options.has_aux:
        return without_aux(result, out)
    nested = result.nested() if out is None else out
    recorded = problem.options.create_graph
    with torch.set_grad_enabled(recorded), problem.preserve_side_effects(bound.callee):
        aux = bound.run(bound.leaves).aux
    if problem.options.with_value:
        return (result.value(), aux), nested
    return nested, aux


def without_aux(result: Result, out: Any = None) -> Any:
    """Return what a result is to the user of a function without `aux`."""
    nested = result.nested() if out is None else out
    with_value = result.layout.problem.options.with_value
    return (result.value(), nested) if with_value else nested
