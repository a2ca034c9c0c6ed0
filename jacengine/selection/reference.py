"""Is a Jacobian right? A random projection of it is compared with plain autograd's.

For a random cotangent `u`, plain reverse mode gives `u^T J` with one ordinary backward
pass through the user's own function at the real sizes. A result must project to the
same. An error in any entry shows in its column, because `u` has no zeros. Where forward
and reverse mode legitimately differ, reverse mode is the reference.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.execution.method import Execution, Method
from jacengine.execution.sweep import compute
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Projection, Result
from jacengine.seeding.samples import at_samples
from jacengine.selection.diagonal_reference import SELECTION_PASSES, DiagonalReference
from jacengine.selection.forward_projection import (
    lacks_reverse_mode,
    push_projection,
)
from jacengine.selection.reference_slices import of_slice, reference_slices
from jacengine.selection.rounding import (
    ROUNDING_FACTOR,
    rounding_changes,
)
from jacengine.selection.verification import (
    Expected,
    Verification,
    compare,
    draw_cotangents,
    plain_autograd,
)
from jacengine.tolerance import CANCELLATION, ELSEWHERE, TOLERANCES, least_precise


@dataclass(frozen=True)
class Reference:
    """One random projection by plain reverse mode.

    Attributes:
        cotangents: One a group of rows, `(S, R)`.
        products: One a group of columns, `(S, N)`, summed over samples (`S = 1`) where
            the input is shared.
        seeds: The cotangents as those of the outputs, `(S, *out)` or `(*out)`.
        dtype: The least precise dtype among inputs and outputs.
        certain: Whether autograd is taken at its word. Second derivatives, and what
            is computed by forward mode, are to be compared with finite differences.
        computed: Computes the products again, while a context is entered.
        diagonal: The reference of a diagonal or a trace, if that is computed.
        slices: The samples that were computed together.
        values: What the function returns, if that is wanted too.
        reached: Whether the graph of some output leads to some input.
    """

    cotangents: Tensors
    products: Tensors
    seeds: Tensors
    dtype: torch.dtype
    certain: bool
    computed: Callable[[AbstractContextManager[object]], Tensors] = field(
        compare=False, repr=False
    )
    diagonal: DiagonalReference | None = None
    slices: tuple[slice, ...] = ()
    values: Tensors = ()
    reached: bool = True

    @classmethod
    def of(
        cls,
        problem: Problem,
        bound: BoundFunction,
        seed: int = 0,
        *,
        passes: int | None = SELECTION_PASSES,
        budget: int | None = None,
    ) -> Reference:
        """Compute the projection at a function's arguments.

        The reference of a diagonal may take so many backward passes; `None` for as many
        as all of its entries need. Second derivatives are computed in slices of samples
        where that keeps them within a budget in bytes.
        """
        diagonal = None
        slices = reference_slices(problem, bound, budget)
        if problem.part != "whole":
            diagonal = DiagonalReference.of(problem, bound, passes, slices)
            # Candidates pull back whatever rows they choose: the projection is of all.
            problem = replace(problem, rows=None, columns=None)
        rows = problem.rows
        sizes = [spec.size for spec in problem.outputs] if rows is None else [len(rows)]
        cotangents = draw_cotangents(problem.sample_count, sizes, seed)

        def project(
            context: AbstractContextManager[object],
        ) -> tuple[Tensors, Tensors, bool]:
            run = functools.partial(
                _project, problem, bound, cotangents, context, slices
            )
            return plain_autograd(problem, bound, run)

        seeds, products, pulled = project(nullcontext())
        certain = pulled and problem.gradient is None
        zero = certain and not any(bool(product.any()) for product in products)
        dtype = least_precise(s.dtype for s in (*problem.inputs, *problem.outputs))
        return cls(
            cotangents,
            products,
            seeds,
            dtype,
            certain,
            lambda c: project(c)[1],
            diagonal,
            slices,
            _values(problem, bound) if problem.options.with_value else (),
            reached=not zero or _leads_to_inputs(problem, bound),
        )

    def verify(
        self, problem: Problem, bound: BoundFunction, method: Method, result: Result
    ) -> Verification:
        """Judge a result; a diagonal of which some entries are known, by those."""
        diagonal = self.diagonal
        if diagonal is None or diagonal.columns is None:
            return self.judge(result)
        # What is compiled computes the whole, and was compared with the eager sweep.
        eager = replace(method, execution=Execution.EAGER)
        return diagonal.judge(compute(diagonal.restricted(problem), bound, eager))

    def judge(self, result: Result) -> Verification:
        """Compare the projection of a result."""
        if self.diagonal is not None:
            return self.diagonal.judge(result)
        for value, wanted in zip(result.values, self.values, strict=True):
            known = wanted.isfinite()
            error = _largest((value.detach() - wanted)[known])
            allowed = TOLERANCES[wanted.dtype].value * _largest(wanted)
            if error > allowed or not bool(value.isfinite()[known].all()):
                return Verification(False, error, finite=error > allowed)
        return self._compare(
            [
                _summed(projection) if product.shape[0] == 1 else projection
                for projection, product in zip(
                    result.project(self.cotangents), self.products, strict=True
                )
            ]
        )

    @property
    def held_bytes(self) -> int:
        """What the reference itself takes."""
        diagonal = self.diagonal
        held = (*self.cotangents, *self.products, *self.seeds)
        if diagonal is not None:
            held += (*diagonal.cotangents, *diagonal.values, *diagonal.rows)
        return sum(tensor.nbytes for tensor in held)

    def weighted(
        self, problem: Problem, bound: BoundFunction, primals: Tensors
    ) -> tuple[float, float]:
        """Evaluate what is differentiated; return its inner product with `seeds`.

        As many samples at a time as before.

        Returns:
            The inner product, and the root of the sum of the squares of its terms.
        """
        total = squares = 0.0
        for some in self.slices:
            part, seeds, own = bound, self.seeds, primals
            if len(self.slices) > 1:
                _, part = at_samples(problem, bound, some)
                seeds = tuple(seed[some] for seed in seeds)
                own = of_slice(problem, primals, some)
            for seed, value in zip(seeds, part(*own), strict=True):
                term = seed.double() * value.detach().double()
                total += float(term.sum())
                squares += float(term.square().sum())
        return total, math.sqrt(squares)

    def judge_products(self, problem: Problem, products: Tensors) -> Verification:
        """Compare what a VJP makes of `seeds`: `(B, *in)`, of shared inputs too."""
        summed = []
        for product, spec in zip(products, problem.inputs, strict=True):
            flat = product.detach().reshape(product.shape[0], spec.size)
            shared = spec.batch_dim is None
            summed.append(flat.sum(0, keepdim=True) if shared else flat)
        return self._judge_columns(_chosen_columns(problem, summed))

    def judge_pulled(self, problem: Problem, products: Tensors) -> Verification:
        """Compare what plain reverse mode makes of `seeds`."""
        return self._judge_columns(_by_column_group(problem, products))

    def _judge_columns(self, columns: Tensors) -> Verification:
        return self._compare(
            [Projection(got, torch.full_like(got, _largest(got))) for got in columns]
        )

    def rounding_along(self, tangent: Tensor) -> float:
        """Return the rounding that is tolerated of the products with a tangent."""
        sizes = [product.numel() for product in self.products]
        parts = tangent.flatten().split(sizes)
        terms = zip(self._rounding, parts, strict=True)
        return ROUNDING_FACTOR * sum(each * float(part.norm()) for each, part in terms)

    def _compare(self, projections: Sequence[Projection]) -> Verification:
        """Compare, and tolerate cancellation and autograd's own rounding."""
        verification = self._compared(projections, [0.0] * len(projections))
        if verification.right or not verification.finite:
            return verification
        return self._compared(projections, self._rounding)

    @functools.cached_property
    def _rounding(self) -> list[float]:
        """The effect of rounding on the products, in each group of columns."""
        variants = rounding_changes(self.computed, self.products)
        return [_largest(torch.stack(each)) for each in zip(*variants, strict=True)]

    def _compared(
        self, projections: Sequence[Projection], rounding: Sequence[float]
    ) -> Verification:
        eps, tolerance = torch.finfo(self.dtype).eps, TOLERANCES[self.dtype].projection
        own, elsewhere = (min(k * eps, tolerance) for k in (CANCELLATION, ELSEWHERE))
        scales = [_largest(p.scale) for p in projections]
        overall = max(scales, default=0.0)
        expected = [
            Expected(
                product,
                torch.maximum(p.scale.to(product), product.abs()),
                floor=own * scale + ROUNDING_FACTOR * change + elsewhere * overall,
            )
            for p, product, scale, change in zip(
                projections, self.products, scales, rounding, strict=True
            )
        ]
        return compare([p.value for p in projections], expected, self.dtype)


def _leads_to_inputs(problem: Problem, bound: BoundFunction) -> bool:
    """Tell whether the graph of some output leads to some input, whatever is in it."""

    def led() -> bool:
        primals = bound.tracked()
        outputs = [out for out in bound(*primals) if out.requires_grad]
        if not outputs or not primals:
            return not primals
        zeros = list(map(torch.zeros_like, outputs))
        found: Any = torch.autograd.grad(outputs, primals, zeros, allow_unused=True)
        return any(gradient is not None for gradient in found)

    return plain_autograd(problem, bound, led)


def _values(problem: Problem, bound: BoundFunction) -> Tensors:
    """Evaluate the function itself."""
    with torch.no_grad(), problem.preserve_side_effects(bound.callee):
        return bound.run(bound.leaves).leaves


def _largest(tensor: Tensor) -> float:
    """Return the largest finite magnitude, zero if there is none."""
    known = tensor[tensor.isfinite()].abs()
    return float(known.max()) if known.numel() else 0.0


def _summed(projection: Projection) -> Projection:
    """Sum over samples, as plain autograd does for an input that they share."""
    return Projection(
        projection.value.sum(0, keepdim=True),
        projection.scale.square().sum(0, keepdim=True).sqrt(),
    )


def _project(
    problem: Problem,
    bound: BoundFunction,
    cotangents: Tensors,
    context: AbstractContextManager[object],
    slices: Sequence[slice],
) -> tuple[Tensors, Tensors, bool]:
    """Pull the cotangents of rows back by plain reverse mode, inside a context.

    Returns:
        The cotangents of the outputs, their products, and whether those are by reverse
        mode indeed: by forward mode, if the function has no other.
    """
    with context:
        if len(slices) == 1:
            return _project_together(problem, bound, cotangents)
        parts = [
            _project_together(
                *at_samples(problem, bound, some), tuple(u[some] for u in cotangents)
            )
            for some in slices
        ]
    seeds, products, pulled = zip(*parts, strict=True)
    summed = [spec.batch_dim is None for spec in problem.inputs]
    return (
        tuple(map(torch.cat, zip(*seeds, strict=True))),
        tuple(
            torch.stack(each).sum(0) if shared else torch.cat(each)
            for shared, each in zip(
                [any(summed)] if problem.joined else summed,
                zip(*products, strict=True),
                strict=True,
            )
        ),
        all(pulled),
    )


def _project_together(
    problem: Problem, bound: BoundFunction, cotangents: Tensors
) -> tuple[Tensors, Tensors, bool]:
    pulled = True
    primals = bound.tracked()
    outputs = bound(*primals)
    seeds = _of_outputs(problem, cotangents, outputs)
    try:
        products = pull(outputs, primals, seeds)
    except NotImplementedError as error:
        if problem.gradient is not None or not lacks_reverse_mode(error):
            raise
        products, pulled = push_projection(problem, bound, seeds), False
    return seeds, _by_column_group(problem, products), pulled


def _of_outputs(problem: Problem, cotangents: Tensors, outputs: Tensors) -> Tensors:
    """Turn cotangents of the chosen rows into cotangents of the outputs."""
    if problem.rows is not None:
        sizes = [spec.size for spec in problem.outputs]
        every = torch.zeros(
            cotangents[0].shape[0], sum(sizes), dtype=torch.float64, device="cpu"
        )
        every.index_add_(1, problem.rows, cotangents[0])
        cotangents = every.split(sizes, dim=1)
    return tuple(
        part.to(output).reshape(output.shape)
        for part, output in zip(cotangents, outputs, strict=True)
    )


def _by_column_group(problem: Problem, products: Tensors) -> Tensors:
    """Flatten cotangents of the inputs to `(S, N)`, the chosen columns of them."""
    size = problem.sample_count
    flat = [
        g.detach().reshape(1 if spec.batch_dim is None else size, spec.size)
        for g, spec in zip(products, problem.inputs, strict=True)
    ]
    return _chosen_columns(problem, flat)


def _chosen_columns(problem: Problem, flat: list[Tensor]) -> Tensors:
    if not problem.joined:
        return tuple(flat)
    size = max(part.shape[0] for part in flat)
    if len({part.shape[0] for part in flat}) > 1:
        # Shared and per-sample inputs are joined: the shared have sums only.
        flat = [p.sum(0, keepdim=True) if p.shape[0] == size else p for p in flat]
    every = torch.cat(flat, dim=1)
    chosen = problem.columns
    return (every if chosen is None else every[:, chosen.to(every.device)],)
