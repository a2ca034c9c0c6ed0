"""Is plain autograd itself right? A comparison with finite differences, which use none.

An operator that is silently not differentiable (a detour through NumPy or `.item()`,
`torch.special.bessel_j0`) gives every method the same wrong Jacobian. Differences along
a random direction show it. They also differ where that is intended: a straight-through
estimator, a `detach`, `padding_idx`. So a disagreement is reported and decides nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.side_effects import preserve_side_effects
from jacengine.selection.reference import Reference
from jacengine.tolerance import TOLERANCES, least_precise

DIRECTIONS = 3
"""Directions tried; each must disagree, since one may cross a kink."""


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
    found: list[float] = []
    for seed in range(DIRECTIONS):
        off = _along(problem, bound, reference, seed)
        if off is None or off <= allowed:
            return None
        found.append(off)
    return min(found)


def _along(
    problem: Problem, bound: BoundFunction, reference: Reference, seed: int
) -> float | None:
    """Return the relative disagreement along one direction."""
    generator = torch.Generator().manual_seed(seed)
    primals = bound.primals(connected=False)
    tangents = tuple(
        torch.randn(p.shape, generator=generator, dtype=torch.float32).to(p)
        for p in primals
    )
    eps = max(torch.finfo(p.dtype).eps for p in primals)
    size = max((float(p.abs().max()) for p in primals if p.numel()), default=0.0)
    step = eps ** (1 / 3) * max(1.0, size)

    def projected(scale: float) -> Tensor:
        moved: Tensors = tuple(
            p + scale * step * t for p, t in zip(primals, tangents, strict=True)
        )
        with torch.no_grad(), preserve_side_effects(problem.devices, problem.stateful):
            outputs = bound(*moved)
        return torch.stack(
            [
                (u.to(torch.float64) * o.to(torch.float64)).sum()
                for u, o in zip(reference.seeds, outputs, strict=True)
            ]
        ).sum()

    differences = float(projected(1.0) - projected(-1.0)) / (2 * step)
    sizes = [spec.size for spec in problem.inputs]
    products = (
        reference.products[0].split(sizes, 1) if problem.joined else reference.products
    )
    terms = [
        (g.to(torch.float64) * t.to(torch.float64).reshape(g.shape[0], -1))
        for g, t in zip(products, tangents, strict=True)
    ]
    derivative = float(sum(float(term.sum()) for term in terms))
    scale = sum(float(term.square().sum()) for term in terms) ** 0.5
    largest = max(abs(differences), abs(derivative), scale)
    if largest == 0 or not abs(differences) + abs(derivative) < float("inf"):
        return None
    return float(abs(differences - derivative) / largest)
