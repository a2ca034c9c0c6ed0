"""Which strategy pushes and which pulls: the fastest of each that are right."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from jacengine.errors import NoStrategyError
from jacengine.interface import Pullback, Pushforward, Strategy
from jacengine.linear_operators.linear_map import Backend
from jacengine.linear_operators.matrix_free import Linearization, MatrixFree
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.timing import seconds

ROUNDS = 3
"""Products that a strategy is timed on, the first of them to warm up."""
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Relative error that a random projection `u^T J v` may have; elsewhere `COARSE`."""
COARSE = 5e-2


def paired(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    strategies: Sequence[Strategy],
    *,
    timed: bool,
) -> tuple[Strategy, Strategy]:
    """Choose the strategies that push and pull.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments to try them on.
        reference: What is right.
        strategies: The candidates.
        timed: Whether to take the fastest instead of the first.

    Raises:
        NoStrategyError: No strategy pushes, or none pulls.
    """
    return (
        fastest(
            problem, bound, reference, _of_kind(strategies, Pushforward), timed=timed
        ),
        fastest(problem, bound, reference, _of_kind(strategies, Pullback), timed=timed),
    )


def pulls_right(backend: Backend, problem: Problem, reference: Reference) -> bool:
    """Compare one product of the transpose with plain reverse mode."""
    found = (
        backend.pull(_cotangent(reference, problem).to(backend.like)).flatten().detach()
    )
    samples = problem.sample_count
    counts = [1 if leaf.batch_dim is None else samples for leaf in problem.inputs]
    sizes = [leaf.size for leaf in problem.inputs]
    parts = found.split([n * size for n, size in zip(counts, sizes, strict=True)])
    products = tuple(
        part.view(count, size)
        for part, count, size in zip(parts, counts, sizes, strict=True)
    )
    return reference.judge_products(problem, products).right


def pushes_right(backend: Backend, problem: Problem, reference: Reference) -> bool:
    """Compare one product, projected, with plain reverse mode."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(backend.shape[1], 1, generator=generator).to(backend.like)
    got = _cotangent(reference, problem).to(backend.like) * backend.push(v).detach()
    wanted = torch.cat([g.flatten() for g in reference.products]) * v.flatten()
    scale = max(float(wanted.norm()), float(got.norm()))
    allowed = TOLERANCE.get(reference.dtype, COARSE) * scale
    return abs(float(wanted.sum()) - float(got.sum())) <= allowed


def _cotangent(reference: Reference, problem: Problem) -> Tensor:
    """Return the cotangents that the truth is of, `(M, 1)`."""
    rows = [u.reshape(problem.sample_count, -1) for u in reference.seeds]
    return torch.cat(rows, dim=1).reshape(-1, 1)


def _of_kind(
    strategies: Sequence[Strategy], kind: type[Pushforward | Pullback]
) -> list[Strategy]:
    return [strategy for strategy in strategies if isinstance(strategy, kind)]


def fastest(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    strategies: Sequence[Strategy],
    *,
    timed: bool,
) -> Strategy:
    """Choose the fastest strategy for one product, of those that push or pull.

    Raises:
        NoStrategyError: None of them does.
    """
    best: tuple[float, Strategy] | None = None
    reasons: list[str] = []
    for strategy in strategies:
        refusal = strategy.check(problem)
        if refusal is not None:
            reasons.append(f"{strategy.name}: {refusal.reason}")
            continue
        try:
            taken = _tried(problem, bound, reference, strategy, timed=timed)
        except Exception as error:
            reasons.append(f"{strategy.name}: {classify_error(error)[1]}")
            continue
        if taken is None:
            reasons.append(f"{strategy.name}: wrong")
        elif best is None or taken < best[0]:
            best = (taken, strategy)
    if best is None:
        raise NoStrategyError(
            "An operator needs a strategy that pushes and one that pulls, and for one "
            f"of them there is none: {'; '.join(reasons) or 'no candidate'}."
        )
    return best[1]


def _tried(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    strategy: Strategy,
    *,
    timed: bool,
) -> float | None:
    """Return the time of one product; `None` if it is wrong."""
    held = Linearization(problem, bound, strategy)
    free = MatrixFree(problem, held, held)
    forward = isinstance(strategy, Pushforward)
    right = pushes_right if forward else pulls_right
    if not right(free, problem, reference):
        return None
    if not timed:
        return 0.0
    seeds = free.like.new_ones(free.shape[1] if forward else free.shape[0], 1)
    run = functools.partial(free.push if forward else free.pull, seeds)
    return min(seconds(run, free.like.device) for _ in range(ROUNDS))
