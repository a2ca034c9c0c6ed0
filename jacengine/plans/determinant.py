"""The determinant of a Jacobian: of its diagonal where that is enough."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jacengine.detection.detect import read_if_possible
from jacengine.errors import ArgumentError
from jacengine.patterns.pattern import Pattern
from jacengine.plans.analysis import analyze_request
from jacengine.plans.planning import compute
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Problem

_TRIANGULAR = ProcessCache[tuple[Problem, bool]](lambda known: known[0])
"""Whether the Jacobian of a function is known to be triangular."""


def log_abs_det(request: PlanRequest) -> Tensor:
    """Compute the logarithm of the absolute determinant of each sample's Jacobian.

    Raises:
        ArgumentError: The Jacobian is not one square matrix.
        JacengineError: As `auto`.
    """
    if _triangular(request):
        chosen = replace(request.options, quantity="diagonal", layout="dict")
        entries: Tensor = compute(replace(request, options=chosen))
        axes = list(range(0 if chosen.batch_dim is None else 1, entries.dim()))
        logs = entries.abs().log()
        return logs.sum(axes) if axes else logs
    J: Tensor = compute(request)
    size = J.shape[-1]
    samples = J.shape[:0] if request.options.batch_dim is None else J.shape[:1]
    # A determinant is a number of many factors: float16 has no factorisation either.
    wide = torch.promote_types(J.dtype, torch.float32)
    matrices = J.reshape(*samples, size, size).to(wide)
    found: Tensor = torch.linalg.slogdet(matrices).logabsdet
    return found.to(J.dtype)


def _triangular(request: PlanRequest) -> bool:
    """Tell whether J is triangular at all points, by its program; found out once."""
    slot = _TRIANGULAR.slot(request)
    if slot.value is None:
        problem = analyze_request(request)
        if len(problem.outputs) != 1 or problem.row_count != problem.column_count:
            raise ArgumentError(
                f"A determinant is of a square Jacobian of one output, not of "
                f"{len(problem.outputs)} outputs with {problem.row_count} entries by "
                f"{problem.column_count} inputs."
            )
        like = [spec.shape for spec in problem.outputs] == [
            spec.shape for spec in problem.inputs
        ]
        bound = problem.bind(request.callee, request.leaves)
        pattern = read_if_possible(problem, bound) if like else None
        found = pattern is not None and _is_triangular(pattern)
        slot.keep((problem, found))
        return found
    return slot.value[1]


def _is_triangular(pattern: Pattern) -> bool:
    lower = bool((pattern.rows >= pattern.columns).all())
    return lower or bool((pattern.rows <= pattern.columns).all())
