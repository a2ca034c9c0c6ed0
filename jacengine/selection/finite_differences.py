"""Is plain autograd itself right? A comparison with finite differences, which use none.

An operator that is silently not differentiable (a detour through NumPy or `.item()`,
`torch.special.bessel_j0`) gives every method the same wrong Jacobian. Differences along
a random direction show it. They also differ where that is intended: a straight-through
estimator, a `detach`, `padding_idx`. So a disagreement is reported and decides nothing.

Of second derivatives, the gradient is what differences are taken of: one that comes
from a backward pass which is itself not differentiable is a constant to autograd.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch

from jacengine._torchfunc import Tensors, pull
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.reference import Reference
from jacengine.selection.verification import reference_context
from jacengine.tolerance import TOLERANCES, least_precise

DIRECTIONS = 3
"""Directions tried; each must disagree, since one may cross a kink."""
NARROWER = 8
"""By how much a second step is smaller. Between two that cross a kink, differences vary
with the step; those of a smooth function do not."""
LOST_DIGITS = 64
"""Multiples of eps by which the function's values may be off, of the terms of their
weighted sum: near an optimum nothing else is left of a difference."""


UNREACHED = "no output of the function depends on what is differentiated"
"""What is said where autograd's graph does not lead from outputs to inputs."""


@dataclass(frozen=True)
class _Difference:
    """A central difference, and what rounding may have changed in it."""

    value: float
    rounding: float


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
        found = _along(problem, bound, reference, seed, allowed)
        if found is None:
            return None
        smallest = min(smallest, found)
    return smallest if _sees_every_use(problem, bound, reference) else None


def warn_of(doubt: float | None, title: str, *, reached: bool = True) -> None:
    """Warn of a disagreement, if there is one, and of a graph without the inputs."""
    if not reached:
        warnings.warn(
            f"jacengine: {UNREACHED}, so the {title} is zero. If that is not intended, "
            "look for .detach(), torch.no_grad(), .item(), NumPy, or an argument or a "
            "parameter that the function does not use.",
            stacklevel=3,
        )
    if doubt is not None:
        warnings.warn(
            f"jacengine: the {title} by autograd and by finite differences differ by "
            f"{doubt:.0%}. Some operator, or its backward pass, is silently not "
            "differentiable (through NumPy, .item(), .detach() or a kernel of its "
            "own), so every method may be wrong in the same way, unless that is "
            "intended.",
            stacklevel=3,
        )


def _along(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    seed: int,
    allowed: float,
) -> float | None:
    """Return the relative disagreement along one direction, if it is doubtful."""
    generator = torch.Generator().manual_seed(seed)
    primals = bound.primals(connected=False)
    tangents = tuple(
        torch.randn(p.shape, generator=generator, dtype=torch.float32, device="cpu").to(
            p
        )
        for p in primals
    )
    products = reference.products
    if problem.joined:
        products = products[0].split([spec.size for spec in problem.inputs], 1)
    derivative = squares = 0.0
    for g, t in zip(products, tangents, strict=True):
        term = g.double().flatten() * t.double().flatten()
        derivative += float(term.sum())
        squares += float(term.square().sum())
    scale = math.sqrt(squares)
    eps = max(torch.finfo(p.dtype).eps for p in primals)
    size = max((float(p.abs().max()) for p in primals if p.numel()), default=0.0)
    step = float(eps ** (1 / 3)) * max(1.0, size)
    values: list[float] = []
    for narrowed in (step, step / NARROWER):
        found = _difference(problem, bound, reference, (primals, tangents), narrowed)
        off = abs(found.value - derivative)
        largest = max(abs(found.value), abs(derivative), scale)
        if not math.isfinite(off) or off - found.rounding <= allowed * largest:
            return None
        values.append(found.value)
    wide, narrow = values
    if abs(wide - narrow) > abs(narrow - derivative) / 2:
        return None
    return abs(narrow - derivative) / max(abs(narrow), abs(derivative), scale)


def _difference(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    line: tuple[Tensors, Tensors],
    step: float,
) -> _Difference:
    """Take the central difference of the projected function along a line."""
    totals: list[float] = []
    size = 0.0
    for sign in (1, -1):
        moved = tuple(p + sign * step * t for p, t in zip(*line, strict=True))
        with torch.no_grad(), problem.preserve_side_effects(bound.callee):
            total, size = reference.weighted(problem, bound, moved)
        totals.append(total)
    eps = max(torch.finfo(p.dtype).eps for p in line[0])
    return _Difference(
        (totals[0] - totals[1]) / (2 * step), LOST_DIGITS * eps * size / step
    )


def _sees_every_use(
    problem: Problem, bound: BoundFunction, reference: Reference
) -> bool:
    """Tell whether the function depends on values in the place of its parameters.

    Differences need those; uses by another road than the registration (a closure) keep
    the module's own.
    """
    if not problem.call_spec.names:
        return True
    with reference_context(problem, bound):
        primals = tuple(p.requires_grad_() for p in bound.primals(connected=False))
        products = pull(bound(*primals), primals, reference.seeds)
    return reference.judge_pulled(problem, products).right
