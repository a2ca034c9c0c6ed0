"""Hutchinson's estimator of the trace of a Hessian.

For random signs `v`, `v^T H v` has the trace of `H` as its mean and `2 sum_{i != j}
H_ij^2` as its variance. A few products replace one with every entry of the input; the
uncertainty is returned with the estimate.

Source: Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix
for Laplacian smoothing splines".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import ArgumentError
from jacengine.execution.matvec import matvec
from jacengine.execution.method import Method
from jacengine.plans.planning import cached_plan
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.gradient_specs import gradients
from jacengine.problem.problem import Problem
from jacengine.results.result_layout import nest
from jacengine.seeding.rademacher import random_signs


@dataclass(frozen=True)
class Estimate:
    """An estimate and its typical error.

    Attributes:
        value: Nested and shaped as what is estimated.
        error: The standard error of each entry, likewise: the standard deviation of the
            probes divided by the root of their number.
        probes: The number of random directions it is the mean of.
    """

    value: Any
    error: Any
    probes: int


def hutchinson(request: PlanRequest, *, probes: int, seed: int) -> Estimate:
    """Estimate a Laplacian from products with random signs that `seed` draws.

    Raises:
        ArgumentError: There are too few probes to estimate an error, or no strategy of
            mode `jvp` is left.
        JacengineError: As `auto`.
    """
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 2:
        raise ArgumentError(
            f"probes={probes!r}: expected at least 2, from which an error can be "
            "estimated."
        )
    forward = [c for c in request.compositions if c.capabilities.mode == "jvp"]
    if not forward:
        raise ArgumentError(
            "method='hutchinson' takes JVPs with single tangents, and none of the "
            "strategies that are left computes JVPs. Leave strategies= out."
        )
    eager = replace(request, compositions=forward, compiled=False)
    plan = cached_plan(eager)
    method = plan.chosen.method
    assert method is not None
    problem = plan.problem
    bound = problem.bind(request.callee, request.leaves)
    forms = _quadratic_forms(problem, bound, method, probes, seed)
    values = [[form.mean(0)] for form in forms]
    errors = [[form.std(0) / probes**0.5] for form in forms]
    return Estimate(nest(problem, values), nest(problem, errors), probes)


def _quadratic_forms(
    problem: Problem, bound: BoundFunction, method: Method, probes: int, seed: int
) -> list[Tensor]:
    """Return `v^T H v` of every probe, `(m, B, *out)` for each value."""
    generator = torch.Generator().manual_seed(seed)
    parts = tuple(gradients(problem.values, problem.inputs, joined=False))
    width = min(probes, method.block_size or probes)
    found: list[list[Tensor]] = [[] for _ in problem.values]
    for first in range(0, probes, width):
        count = min(width, probes - first)
        signs = random_signs(problem, count, generator)
        products = matvec(problem, bound, method, signs)
        each = len(problem.inputs)
        for value, forms in enumerate(found):
            own = products[value * each : (value + 1) * each]
            shape = (count, problem.sample_count, parts[value * each].entries, -1)
            terms = [
                (product.reshape(shape) * sign.reshape(count, -1, 1, spec.size)).sum(3)
                for product, sign, spec in zip(own, signs, problem.inputs, strict=True)
            ]
            forms.append(torch.stack(terms).sum(0))
    samples = () if problem.batch_size is None else (problem.batch_size,)
    return [
        torch.cat(forms).reshape(probes, *samples, *spec.shape)
        for forms, spec in zip(found, problem.values, strict=True)
    ]
