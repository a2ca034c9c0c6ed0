"""Is a Jacobian right? A random projection of it is compared with plain autograd's.

For a random cotangent `u`, plain reverse mode gives `u^T J` with one ordinary backward
pass through the user's own function at the real sizes. A result must project to the
same. An error in any entry shows in its column, because `u` has no zeros. Where forward
and reverse mode legitimately differ, reverse mode is the reference.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.execution.kernel_fallbacks import with_fallbacks
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Projection, Result
from jacengine.selection.diagonal_reference import SELECTION_PASSES, DiagonalReference
from jacengine.selection.random_cotangents import draw_cotangents, generator
from jacengine.selection.reference_context import reference_context
from jacengine.selection.verification import (
    Expected,
    Verification,
    compare,
    floors,
    largest,
)
from jacengine.tolerance import least_precise


@dataclass(frozen=True)
class Reference:
    """One random projection by plain reverse mode.

    Attributes:
        cotangents: One a group of rows, `(S, R)`.
        products: One a group of columns, `(S, N)`, summed over samples (`S = 1`) where
            the input is shared.
        noise: The rounding that plain autograd shows in each group of columns.
        seeds: The cotangents as those of the outputs, `(S, *out)` or `(*out)`.
        dtype: The least precise dtype among inputs and outputs.
        diagonal: The reference of a diagonal or a trace, if that is computed.
    """

    cotangents: tuple[Tensor, ...]
    products: tuple[Tensor, ...]
    noise: tuple[float, ...]
    seeds: Tensors
    dtype: torch.dtype
    diagonal: DiagonalReference | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        bound: BoundFunction,
        seed: int = 0,
        *,
        passes: int | None = SELECTION_PASSES,
    ) -> Reference:
        """Compute the projection at a function's arguments.

        Args:
            problem: What is computed.
            bound: The function at the arguments.
            seed: Of the projection.
            passes: Backward passes that the reference of a diagonal may take; `None`
                for as many as all of its entries need.
        """
        diagonal = None
        if problem.part != "whole":
            diagonal = DiagonalReference.of(problem, bound, passes)
            # Candidates pull back whatever rows they choose: the projection is of all.
            problem = replace(problem, rows=None, columns=None)
        rows = problem.rows
        counts = (
            [spec.size for spec in problem.outputs] if rows is None else [len(rows)]
        )
        cotangents = draw_cotangents(problem.sample_count, counts, seed)
        with reference_context(problem):
            seeds, products, halves = with_fallbacks(
                functools.partial(_project, problem, bound, cotangents, seed)
            )
        noise = tuple(
            largest(one + other - whole)
            for whole, one, other in zip(products, *halves, strict=True)
        )
        specs = (*problem.inputs, *problem.outputs)
        dtype = least_precise(spec.dtype for spec in specs)
        return cls(cotangents, products, noise, seeds, dtype, diagonal)

    def judge(self, result: Result) -> Verification:
        """Compare the projection of a result."""
        if self.diagonal is not None:
            return self.diagonal.judge(result)
        projections = [
            _summed(projection) if product.shape[0] == 1 else projection
            for projection, product in zip(
                result.project(self.cotangents), self.products, strict=True
            )
        ]
        return self._compare(projections)

    def judge_products(self, problem: Problem, products: Tensors) -> Verification:
        """Compare what a VJP makes of the same cotangents.

        Args:
            problem: What is computed.
            products: One an input, `(B, *in)`; those of shared inputs too.
        """
        flat = [
            product.detach().reshape(product.shape[0], spec.size)
            for product, spec in zip(products, problem.inputs, strict=True)
        ]
        summed = [
            part.sum(0, keepdim=True) if spec.batch_dim is None else part
            for part, spec in zip(flat, problem.inputs, strict=True)
        ]
        return self._compare(
            [
                Projection(got, torch.full_like(got, largest(got)))
                for got in _chosen_columns(problem, summed)
            ]
        )

    def _compare(self, projections: Sequence[Projection]) -> Verification:
        expected = [
            Expected(product, torch.maximum(p.scale.to(product), product.abs()), floor)
            for p, product, floor in zip(
                projections,
                self.products,
                floors(projections, self.noise, self.dtype),
                strict=True,
            )
        ]
        return compare([p.value for p in projections], expected, self.dtype)


def _summed(projection: Projection) -> Projection:
    """Sum over samples, as plain autograd does for an input that they share."""
    return Projection(
        projection.value.sum(0, keepdim=True),
        projection.scale.square().sum(0, keepdim=True).sqrt(),
    )


def _project(
    problem: Problem, bound: BoundFunction, cotangents: tuple[Tensor, ...], seed: int
) -> tuple[Tensors, Tensors, list[Tensors]]:
    """Pull the cotangents of rows back by plain reverse mode.

    Returns:
        The cotangents of the outputs; their products; and the products of two halves of
        them, which have no entry in common, so that they are an exact sum.
    """
    primals = tuple(p.requires_grad_() for p in bound.primals(connected=False))
    outputs = bound(*primals)
    seeds = _of_outputs(problem, cotangents, outputs)
    masks = tuple(torch.rand(u.shape, generator=generator(seed)) < 0.5 for u in seeds)
    halves = [
        tuple(u * (m == side).to(u) for u, m in zip(seeds, masks, strict=True))
        for side in (True, False)
    ]
    products, *parts = (
        _by_column_group(problem, pull(outputs, primals, some))
        for some in (seeds, *halves)
    )
    return seeds, products, parts


def _of_outputs(
    problem: Problem, cotangents: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Turn cotangents of the chosen rows into cotangents of the outputs."""
    if problem.rows is None:
        flat = list(cotangents)
    else:
        sizes = [spec.size for spec in problem.outputs]
        every = torch.zeros(cotangents[0].shape[0], sum(sizes), dtype=torch.float64)
        every.index_add_(1, problem.rows, cotangents[0])
        flat = list(every.split(sizes, dim=1))
    return tuple(
        part.to(output).reshape(output.shape)
        for part, output in zip(flat, outputs, strict=True)
    )


def _by_column_group(problem: Problem, products: Tensors) -> tuple[Tensor, ...]:
    """Flatten cotangents of the inputs to `(S, N)`, the chosen columns of them."""
    size = problem.sample_count
    flat = [
        g.detach().reshape(1 if spec.batch_dim is None else size, spec.size)
        for g, spec in zip(products, problem.inputs, strict=True)
    ]
    return _chosen_columns(problem, flat)


def _chosen_columns(problem: Problem, flat: list[Tensor]) -> tuple[Tensor, ...]:
    if not problem.joined:
        return tuple(flat)
    size = max(part.shape[0] for part in flat)
    if len({part.shape[0] for part in flat}) > 1:
        # Shared and per-sample inputs are joined: the shared have sums only.
        flat = [p.sum(0, keepdim=True) if p.shape[0] == size else p for p in flat]
    every = torch.cat(flat, dim=1)
    chosen = problem.columns
    return (every if chosen is None else every[:, chosen.to(every.device)],)
