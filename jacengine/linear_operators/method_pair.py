"""The methods behind an operator: the fastest right one for JVPs, and for VJPs."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from jacengine.errors import NoStrategyError
from jacengine.execution.method import Method
from jacengine.interface import Composition, Mode
from jacengine.linear_operators.matrix_free import (
    ImplicitMatrix,
    Linearization,
    MatrixFree,
)
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import classify_error
from jacengine.selection.candidates import candidates
from jacengine.selection.reference import Reference
from jacengine.timing import time_interleaved
from jacengine.tolerance import TOLERANCES

ROUNDS = 2
"""Products that each right method is timed on, after one to warm up."""


def fastest(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    compositions: Sequence[Composition],
    mode: Mode,
    *,
    timed: bool,
) -> Method:
    """Choose the fastest right method for one product.

    Args:
        problem: What is differentiated.
        bound: The function at the arguments to try methods on.
        reference: What products must be.
        compositions: The strategies and gradients to consider.
        mode: `"jvp"` or `"vjp"`.
        timed: Whether to take the fastest instead of the first.

    Raises:
        NoStrategyError: None of them computes such products rightly.
    """
    able = [
        c
        for c in compositions
        if c.capabilities.mode == mode and not c.capabilities.per_sample_shared
    ]
    right: dict[Method, MatrixFree] = {}
    reasons: list[str] = []
    for method in candidates(problem, able, coupled=True):
        refusal = method.strategy.check(problem)
        if refusal is not None:
            reasons.append(f"{method.name}: {refusal.reason}")
            continue
        try:
            held = Linearization(problem, bound, method)
            matrix = MatrixFree(problem, held, held)
            agrees = jvp_agrees if mode == "jvp" else vjp_agrees
            if agrees(matrix, problem, reference):
                right[method] = matrix
            else:
                reasons.append(f"{method.name}: wrong")
        except Exception as error:
            reasons.append(f"{method.name}: {classify_error(error)[1]}")
        if right and not timed:
            break
    if not right:
        listed = "; ".join(reasons) or "no candidate"
        raise NoStrategyError(
            "An operator needs a strategy that computes JVPs and one that computes "
            f"VJPs, and for {mode.upper()}s there is none: {listed}."
        )
    return _fastest_of(right, mode) if len(right) > 1 else next(iter(right))


def vjp_agrees(matrix: ImplicitMatrix, problem: Problem, reference: Reference) -> bool:
    """Compare one product of the transpose with plain reverse mode."""
    cotangent = _cotangent(reference, problem).to(matrix.like)
    found = matrix.pull(cotangent).flatten().detach()
    samples = problem.sample_count
    counts = [1 if spec.batch_dim is None else samples for spec in problem.inputs]
    sizes = [spec.size for spec in problem.inputs]
    parts = found.split([n * size for n, size in zip(counts, sizes, strict=True)])
    rows = zip(parts, counts, sizes, strict=True)
    products = tuple(part.view(count, size) for part, count, size in rows)
    return reference.judge_products(problem, products).right


def jvp_agrees(matrix: ImplicitMatrix, problem: Problem, reference: Reference) -> bool:
    """Compare one product, projected, with plain reverse mode."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(matrix.shape[1], 1, generator=generator, device="cpu").to(
        matrix.like
    )
    cotangent = _cotangent(reference, problem).to(matrix.like)
    got = cotangent * matrix.push(v).detach()
    wanted = torch.cat([g.flatten() for g in reference.products]) * v.flatten()
    scale = max(float(wanted.norm()), float(got.norm()))
    tolerated = TOLERANCES[reference.dtype].product * scale
    error = abs(float(wanted.sum()) - float(got.sum()))
    return error <= tolerated or error <= reference.rounding_along(v)


def _cotangent(reference: Reference, problem: Problem) -> Tensor:
    """Return the cotangents of the reference, `(M, 1)`."""
    rows = [u.reshape(problem.sample_count, -1) for u in reference.seeds]
    return torch.cat(rows, dim=1).reshape(-1, 1)


def _fastest_of(matrices: dict[Method, MatrixFree], mode: Mode) -> Method:
    """Time one product by each method."""
    one = next(iter(matrices.values()))
    seeds = one.like.new_ones(one.shape[1 if mode == "jvp" else 0], 1)
    runs = {
        method: functools.partial(m.push if mode == "jvp" else m.pull, seeds)
        for method, m in matrices.items()
    }
    timed = time_interleaved(runs, one.like.device, rounds=ROUNDS, warm_up_rounds=1)
    return min(timed.times, key=lambda method: min(timed.times[method]))
