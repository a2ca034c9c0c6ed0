"""Is plain autograd itself right? A comparison with finite differences, which use none.

An operator that is silently not differentiable (a detour through NumPy or `.item()`,
`torch.special.bessel_j0`) gives every method the same wrong Jacobian. Differences along
a random direction show it. They also differ where that is intended: a straight-through
estimator, a `detach`, `padding_idx`. So a disagreement is reported and decides nothing.
"""

from __future__ import annotations

import math

import torch

from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.reference import Reference
from jacengine.tolerance import TOLERANCES, least_precise

DIRECTIONS = 3
"""Directions tried; each must disagree, since one may cross a kink."""
LOST_DIGITS = 64
"""Multiples of eps by which the function's values may be off, of the terms of their
weighted sum: near an optimum nothing else is left of a difference."""


def disagreement(
    problem: Problem, bound: BoundFunction, reference: Reference
) -> float | None:
    """Compare plain autograd with central differences along random directions.

    Returns:
        The smallest relative disagreement over the directions, if it is doubtful;
        else `None`.
    """
    specs = (*problem.inputs, *problem.outputs)
    allowed = TOLERANCES[least_precise(s.dtype for s in specs)].finite_difference
    mixed = problem.joined and problem.shares and not problem.call_spec.names
    if problem.columns is not None or mixed or allowed is None:
        return None
    smallest = math.inf
    for seed in range(DIRECTIONS):
        found = _along(problem, bound, reference, seed)
        if found is None or found <= allowed:
            return None
        smallest = min(smallest, found)
    return smallest


def _along(
    problem: Problem, bound: BoundFunction, reference: Reference, seed: int
) -> float | None:
    """Return the relative disagreement along one direction, `None` if undefined."""
    generator = torch.Generator().manual_seed(seed)
    primals = bound.primals(connected=False)
    tangents = [
        torch.randn(p.shape, generator=generator, dtype=torch.float32).to(p)
        for p in primals
    ]
    eps = max(torch.finfo(p.dtype).eps for p in primals)
    size = max((float(p.abs().max()) for p in primals if p.numel()), default=0.0)
    step = float(eps ** (1 / 3)) * max(1.0, size)

    def projected(scale: float) -> tuple[float, float]:
        moved = (p + scale * step * t for p, t in zip(primals, tangents, strict=True))
        with torch.no_grad(), problem.preserve_side_effects():
            outputs = bound(*moved)
        terms = [
            u.double() * output.double()
            for u, output in zip(reference.seeds, outputs, strict=True)
        ]
        total = sum(float(term.sum()) for term in terms)
        return total, sum(float(term.abs().sum()) for term in terms)

    (ahead, terms_ahead), (behind, _) = projected(1.0), projected(-1.0)
    difference = (ahead - behind) / (2 * step)
    rounding = LOST_DIGITS * eps * terms_ahead / step
    products = reference.products
    if problem.joined:
        products = products[0].split([spec.size for spec in problem.inputs], 1)
    terms = [
        g.double() * t.double().reshape(g.shape[0], -1)
        for g, t in zip(products, tangents, strict=True)
    ]
    derivative = sum(float(term.sum()) for term in terms)
    scale = math.sqrt(sum(float(term.square().sum()) for term in terms))
    largest = max(abs(difference), abs(derivative), scale)
    if largest == 0 or not math.isfinite(abs(difference) + abs(derivative)):
        return None
    return max(0.0, abs(difference - derivative) - rounding) / largest
