"""Traces of Hessians that are estimated, for those who ask for it.

Hutchinson's estimator: for random signs `v`, `v^T H v` has the trace of `H` as its mean
and `2 sum_{i != j} H_ij^2` as its variance. A few products stand for one with every
entry of the input; what they leave uncertain is told with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import ArgumentError
from jacengine.execution.matvec import push_directions
from jacengine.execution.method import Method
from jacengine.interface import Pushforward
from jacengine.plans.planning import cached_plan
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.gradient_specs import gradients
from jacengine.problem.problem import Options, Problem
from jacengine.results.result_layout import nest
from jacengine.selection.budget import Budget
from jacengine.selection.select import Effort


@dataclass(frozen=True)
class Estimate:
    """An estimate and how far it is off, typically.

    Attributes:
        value: Nested and shaped as what is estimated.
        error: The standard error of each entry, likewise: the spread of the probes over
            the root of their number.
        probes: How many random directions it is the mean of.
    """

    value: Any
    error: Any
    probes: int


def hutchinson(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    *,
    probes: int,
    seed: int,
    memory_budget: Budget,
    effort: Effort,
    strategies: Iterable[str] | None,
    exclude: Iterable[str],
) -> Estimate:
    """Estimate a Laplacian from products with random signs.

    Source: Hutchinson 1990, "A stochastic estimator of the trace of the influence
    matrix for Laplacian smoothing splines".

    Raises:
        ArgumentError: There are too few probes to tell an error from, or no strategy
            is left that pushes.
        JacengineError: As `auto`.
    """
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 2:
        raise ArgumentError(
            f"probes={probes!r}: expected at least 2, from which an error can be told."
        )
    pushing = [
        strategy
        for strategy in known_strategies().choose(strategies, exclude, "laplacian")
        if isinstance(strategy, Pushforward)
    ]
    if not pushing:
        raise ArgumentError(
            "method='hutchinson' takes products with single directions, and none of "
            "the strategies that are left pushes any. Leave strategies= out."
        )
    plan = cached_plan(
        fn, args, kwargs, options, pushing, memory_budget=memory_budget, effort=effort
    )
    method = plan.chosen.method
    assert method is not None
    problem = plan.problem
    forms = _forms(problem, problem.bind(args, kwargs), method, probes, seed)
    values = [[form.mean(0)] for form in forms]
    errors = [[form.std(0) / probes**0.5] for form in forms]
    return Estimate(nest(problem, values), nest(problem, errors), probes)


def _forms(
    problem: Problem, bound: BoundFunction, method: Method, probes: int, seed: int
) -> list[Tensor]:
    """Return `v^T H v` of every probe, `(m, B, *out)` for each value."""
    generator = torch.Generator().manual_seed(seed)
    parts = tuple(gradients(problem.values, problem.inputs, joined=False))
    width = min(probes, method.block_size or probes)
    found: list[list[Tensor]] = [[] for _ in problem.values]
    for first in range(0, probes, width):
        count = min(width, probes - first)
        signs = _signs(problem, count, generator)
        products = push_directions(problem, bound, method, signs)
        each = len(problem.inputs)
        for value, forms in enumerate(found):
            own = products[value * each : (value + 1) * each]
            shape = (count, problem.sample_count, parts[value * each].entries, -1)
            terms = [
                (product.reshape(shape) * sign.reshape(count, -1, 1, leaf.size)).sum(3)
                for product, sign, leaf in zip(own, signs, problem.inputs, strict=True)
            ]
            forms.append(torch.stack(terms).sum(0))
    samples = () if problem.batch_size is None else (problem.batch_size,)
    return [
        torch.cat(forms).reshape(probes, *samples, *leaf.shape)
        for forms, leaf in zip(found, problem.values, strict=True)
    ]


def _signs(
    problem: Problem, count: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Draw random signs for every entry of the inputs that is summed over."""
    chosen = torch.zeros(sum(leaf.size for leaf in problem.inputs))
    chosen[slice(None) if problem.columns is None else problem.columns] = 1
    drawn: list[Tensor] = []
    for leaf, mask in zip(
        problem.inputs, chosen.split([i.size for i in problem.inputs]), strict=True
    ):
        samples = () if leaf.batch_dim is None else (problem.sample_count,)
        shape = (count, *samples, *leaf.shape)
        signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
        drawn.append((signs * mask.view(leaf.shape)).to(leaf.device, leaf.dtype))
    return tuple(drawn)
