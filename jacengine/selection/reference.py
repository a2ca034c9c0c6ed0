"""Is a Jacobian right? A random projection of it against plain autograd.

For a random cotangent `u`, plain reverse mode gives `g = u^T J` with one ordinary
backward pass through the user's own function at the real sizes. A candidate's J must
give the same `u^T J`. An error in any entry shows in its column, because `u` has no
zeros. Where forward and reverse mode legitimately differ, reverse mode is the truth.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.execution.kernel_fallbacks import with_fallbacks
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.diagonal_reference import PASSES, DiagonalReference
from jacengine.selection.reference_context import reference_context
from jacengine.selection.tolerance import (
    CANCELLED,
    ELSEWHERE,
    NOISE,
    TOLERANCE,
    Verification,
)

SLICE = 2**15
"""Entries of J looked at in one go, so that checking takes no memory to speak of."""


@dataclass(frozen=True)
class Reference:
    """One random projection by plain reverse mode.

    Attributes:
        cotangents: One a row group, `(S, R)`.
        products: One a column group, `(S, N)`, summed over samples (`S = 1`) where the
            input is shared.
        noise: The rounding that plain autograd shows in each column group.
        seeds: The cotangents as those of the outputs, `(S, *out)` or `(*out)`.
        dtype: The least precise dtype among inputs and outputs.
        exact: The diagonal itself, where only that or its trace is asked for.
    """

    cotangents: tuple[Tensor, ...]
    products: tuple[Tensor, ...]
    noise: tuple[float, ...]
    seeds: Tensors
    dtype: torch.dtype
    exact: DiagonalReference | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        bound: BoundFunction,
        seed: int = 0,
        *,
        passes: int | None = PASSES,
    ) -> Reference:
        """Take the projection at a call's arguments.

        Args:
            problem: What is computed.
            bound: The function at the arguments.
            seed: Of the projection.
            passes: Backward passes that knowing a diagonal may take; `None` for all
                of it.
        """
        exact = None
        if problem.part != "whole":
            exact = DiagonalReference.of(problem, bound, passes)
            # Candidates pull whatever rows they like: the projection is of all.
            problem = replace(problem, rows=None, columns=None)
        with reference_context(problem):
            cotangents = _draw(problem, seed)
            full, products, parts = with_fallbacks(
                functools.partial(_pulled, problem, bound, cotangents, seed)
            )
        noise = tuple(
            float(_largest(one + other - whole))
            for whole, one, other in zip(products, *parts, strict=True)
        )
        leaves = (*problem.inputs, *problem.outputs)
        dtype = max((leaf.dtype for leaf in leaves), key=lambda d: torch.finfo(d).eps)
        return cls(cotangents, products, noise, full, dtype, exact)

    def judge(self, blocks: Sequence[Sequence[Tensor]]) -> Verification:
        """Compare a Jacobian's projection; a diagonal or a trace entry by entry.

        Args:
            blocks: The blocks of the result, outputs by inputs.
        """
        if self.exact is not None:
            return self.exact.judge(blocks)
        pairs = [
            self._project([line[column] for line in blocks], reference)
            for column, reference in enumerate(self.products)
        ]
        return _judge(pairs, self.products, self.noise, self.dtype)

    def judge_products(self, problem: Problem, products: Tensors) -> Verification:
        """Compare what a pullback makes of the same cotangents.

        Args:
            problem: What is computed.
            products: One an input, `(B, *in)`; those of shared inputs too.
        """
        flat = [
            product.detach().reshape(product.shape[0], leaf.size)
            for product, leaf in zip(products, problem.inputs, strict=True)
        ]
        summed = [
            part.sum(0, keepdim=True) if leaf.batch_dim is None else part
            for part, leaf in zip(flat, problem.inputs, strict=True)
        ]
        chosen = _choose(problem, summed)
        pairs = [(got, _largest(got).expand_as(got)) for got in chosen]
        return _judge(pairs, self.products, self.noise, self.dtype)

    def _project(
        self, lines: Sequence[Tensor], reference: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return `u^T J` and the scale of its terms, of one column group, `(S, N)`."""
        precise = torch.promote_types(reference.dtype, torch.float32)
        size = self.cotangents[0].shape[0]
        got = torch.zeros(
            size, reference.shape[1], dtype=precise, device=reference.device
        )
        scale = torch.zeros_like(got)
        for cotangent, block in zip(self.cotangents, lines, strict=True):
            u = cotangent.to(reference.device, precise)
            rows, columns = u.shape[1], reference.shape[1]
            whole = block.detach().reshape(size, rows, columns)
            for samples, some in _slices(size, rows, columns):
                part = whole[samples, some].to(reference.device, precise)
                weights = u[samples, None, some]
                got[samples] += (weights @ part).squeeze(1)
                scale[samples] += (weights.square() @ part.square()).squeeze(1)
        if reference.shape[0] != size:
            got, scale = got.sum(0, keepdim=True), scale.sum(0, keepdim=True)
        return got, scale.sqrt()


def _pulled(
    problem: Problem, bound: BoundFunction, cotangents: tuple[Tensor, ...], seed: int
) -> tuple[Tensors, Tensors, list[Tensors]]:
    """Pull cotangents of the chosen rows back by plain reverse mode.

    Returns:
        The cotangents of the outputs, what they become, and what each of two parts of
        them becomes: a sum without common entries, so the parts are exact.
    """
    primals = tuple(p.requires_grad_() for p in bound.primals(connected=False))
    outputs = bound(*primals)
    full = _spread(problem, cotangents, outputs)
    masks = tuple(torch.rand(u.shape, generator=_fixed(seed)) < 0.5 for u in full)
    halves = [
        tuple(u * (m == side).to(u) for u, m in zip(full, masks, strict=True))
        for side in (True, False)
    ]
    products, *parts = (
        _flat(problem, pull(outputs, primals, seeds)) for seeds in (full, *halves)
    )
    return full, products, parts


def _slices(size: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield samples and rows such that no slice of J has many more than `SLICE`."""
    step = max(1, SLICE // max(1, columns))
    samples = max(1, step // max(1, rows))
    for first in range(0, size, samples):
        for row in range(0, rows, step):
            yield slice(first, first + samples), slice(row, row + step)


def _judge(
    pairs: Sequence[tuple[Tensor, Tensor]],
    truths: Sequence[Tensor],
    noise: Sequence[float],
    dtype: torch.dtype,
) -> Verification:
    """Compare projections `(got, scale)` with the truth, entry by entry."""
    eps, tolerance = torch.finfo(dtype).eps, TOLERANCE[dtype]
    overall = max((float(_largest(scale)) for _, scale in pairs), default=0.0)
    right, finite, worst = True, True, 0.0
    for (got, scale), reference, rounding in zip(pairs, truths, noise, strict=True):
        known = reference.isfinite()
        finite &= bool(got[known].isfinite().all())
        floor = min(CANCELLED * eps, tolerance) * float(_largest(scale))
        floor += NOISE * rounding + min(ELSEWHERE * eps, tolerance) * overall
        difference = (got - reference)[known].abs()
        magnitude = torch.maximum(scale[known], reference[known].abs())
        right &= bool((difference <= tolerance * magnitude + floor).all())
        tiny = torch.finfo(magnitude.dtype).tiny
        relative = difference / (magnitude + floor + tiny)
        if relative.numel():
            worst = max(worst, float(relative.nan_to_num(nan=float("inf")).max()))
    return Verification(right and finite, worst, finite)


def _largest(tensor: Tensor) -> Tensor:
    """Return the largest finite magnitude, zero if there is none."""
    known = tensor[tensor.isfinite()].abs()
    return known.max() if known.numel() else tensor.new_zeros(())


def _fixed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _flat(problem: Problem, found: Tensors) -> tuple[Tensor, ...]:
    """Flatten cotangents of the inputs to `(S, N)`, the chosen columns of them."""
    size = problem.sample_count
    flat = [
        g.detach().reshape(1 if leaf.batch_dim is None else size, leaf.size)
        for g, leaf in zip(found, problem.inputs, strict=True)
    ]
    return _choose(problem, flat)


def _draw(problem: Problem, seed: int) -> tuple[Tensor, ...]:
    """Draw cotangents for the rows of J, away from zero."""
    generator = _fixed(seed)
    size = problem.sample_count
    counts = (
        [leaf.size for leaf in problem.outputs]
        if problem.rows is None
        else [problem.rows.numel()]
    )
    drawn = []
    for count in counts:
        magnitude = torch.rand(size, count, generator=generator, dtype=torch.float64)
        sign = torch.randint(0, 2, (size, count), generator=generator) * 2 - 1
        drawn.append((magnitude + 0.5) * sign)
    return tuple(drawn)


def _spread(
    problem: Problem, cotangents: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Turn cotangents of the chosen rows into cotangents of the outputs."""
    if problem.rows is None:
        flat = list(cotangents)
    else:
        sizes = [leaf.size for leaf in problem.outputs]
        every = torch.zeros(cotangents[0].shape[0], sum(sizes), dtype=torch.float64)
        every.index_add_(1, problem.rows, cotangents[0])
        flat = list(every.split(sizes, dim=1))
    return tuple(
        part.to(output).reshape(output.shape)
        for part, output in zip(flat, outputs, strict=True)
    )


def _choose(problem: Problem, flat: list[Tensor]) -> tuple[Tensor, ...]:
    if not problem.joined:
        return tuple(flat)
    size = max(part.shape[0] for part in flat)
    if len({part.shape[0] for part in flat}) > 1:
        # Shared and per-sample inputs side by side: the shared have sums only.
        flat = [p.sum(0, keepdim=True) if p.shape[0] == size else p for p in flat]
    every = torch.cat(flat, dim=1)
    chosen = problem.columns
    return (every if chosen is None else every[:, chosen.to(every.device)],)
