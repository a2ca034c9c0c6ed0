"""Is a diagonal or a trace right? It is compared with reverse mode over reverse mode.

No projection of a Hessian gives its diagonal, so the diagonal itself is computed, one
entry of the input after the other, with two ordinary backward passes each. Of many
entries a random part is computed, and a candidate is judged by those: as many as cost
about as much as a selection does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.gradient_specs import diagonal_rows, gradients
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.seeding.samples import at_samples
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
from jacengine.tolerance import CANCELLATION, TOLERANCES, least_precise

SELECTION_PASSES = 128
"""Backward passes that a selection spends on its reference ..."""
RECHECK_PASSES = 16
"""... and that are spent on a method that was found right before."""
MARGINAL = 1e-2
"""Relative errors up to which it is measured whether they are rounding."""


@dataclass(frozen=True)
class DiagonalReference:
    """Entries of the diagonal, by plain reverse mode.

    Attributes:
        columns: The input entries that were drawn; `None` for all of them.
        cotangents: One a value, `(S, O)`, on which results are projected.
        values: The diagonal of each value, `(S, O, K)`.
        rows: The largest entry of the Hessian's row that each of them is in: a diagonal
            that cancels to nothing carries the rounding of what it is made of.
        trace: Whether only the sum of the diagonal is computed.
        dtype: The least precise dtype among inputs and outputs.
        computed: Computes the diagonals again, while a context is entered.
    """

    columns: Tensor | None
    cotangents: Tensors
    values: Tensors
    rows: Tensors
    trace: bool
    dtype: torch.dtype
    computed: Callable[[AbstractContextManager[object]], Tensors] = field(
        compare=False, repr=False
    )

    @classmethod
    def of(
        cls,
        problem: Problem,
        bound: BoundFunction,
        passes: int | None,
        slices: Sequence[slice],
    ) -> DiagonalReference:
        """Compute the diagonal in so many backward passes, `None` for all entries."""
        count = sum(spec.size for spec in problem.inputs)
        wanted = (
            torch.arange(count, device="cpu")
            if problem.columns is None
            else problem.columns
        )
        sizes = [spec.size for spec in problem.values]
        each = sum(sizes) * (problem.sample_count if problem.shares else 1)
        most = wanted.numel() if passes is None else max(1, passes // max(1, each))
        columns = None
        if wanted.numel() > most:
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randperm(wanted.numel(), generator=generator, device="cpu")[
                :most
            ]
            columns = wanted = wanted[drawn.sort().values]
        dtype = least_precise(s.dtype for s in (*problem.inputs, *problem.values))

        def diagonals(
            context: AbstractContextManager[object],
        ) -> tuple[Tensors, Tensors]:
            run = functools.partial(_diagonals, problem, bound, wanted, context, slices)
            return plain_autograd(problem, bound, run)

        values, rows = diagonals(nullcontext())
        return cls(
            columns,
            draw_cotangents(problem.sample_count, sizes, seed=0),
            values,
            rows,
            problem.part == "trace",
            dtype,
            lambda context: diagonals(context)[0],
        )

    def restricted(self, problem: Problem) -> Problem:
        """Return the problem of the drawn entries alone, which can be judged."""
        columns = self.columns
        if columns is None:
            return problem
        rows = diagonal_rows(problem.values, problem.inputs, columns, problem.options)
        return replace(problem, columns=columns, rows=rows)

    def judge(self, result: Result) -> Verification:
        """Compare the projection of a result, of the restricted problem."""
        projections = result.project(self.cotangents)
        value = torch.cat([p.value for p in projections], dim=1)
        verification = self._compare(
            value, [torch.zeros(1, 1, 1, device="cpu")] * len(self.values)
        )
        marginal = verification.finite and verification.error <= MARGINAL
        if verification.right or not marginal:
            return verification
        return self._compare(value, self._rounding)

    @functools.cached_property
    def _rounding(self) -> list[Tensor]:
        """The effect of rounding on each value's diagonals or traces."""
        found = [
            torch.zeros(v.shape[0], v.shape[1], 1, device="cpu") for v in self.values
        ]
        for variant in rounding_changes(self.computed, self.values):
            for k, change in enumerate(variant):
                total = change.sum(2, keepdim=True).abs()
                if not self.trace:
                    total = change.abs().amax(2, keepdim=True)
                found[k] = torch.maximum(found[k], total)
        return found

    def _compare(self, value: Tensor, rounding: Sequence[Tensor]) -> Verification:
        """Compare a projection, with a tolerance for each value's rounding too."""
        tolerance = TOLERANCES[self.dtype].projection
        cancelled = min(CANCELLATION * torch.finfo(self.dtype).eps, tolerance)
        known = torch.zeros((), dtype=torch.float64, device="cpu")
        scale, floor = known, known
        for u, diagonal, rows, changes in zip(
            self.cotangents, self.values, self.rows, rounding, strict=True
        ):
            values, scales = diagonal, diagonal.abs() + rows * (cancelled / tolerance)
            if self.trace:
                values, scales = (t.sum(2, keepdim=True) for t in (values, scales))
            weights = u.unsqueeze(2)
            tolerated = ROUNDING_FACTOR * changes
            known = known + (weights * values).sum(1)
            scale = scale + (weights * scales).square().sum(1)
            floor = floor + (weights * tolerated).square().sum(1)
        expected = Expected(known, scale.sqrt(), floor.sqrt())
        return compare([value], [expected], self.dtype)


def _diagonals(
    problem: Problem,
    bound: BoundFunction,
    columns: Tensor,
    context: AbstractContextManager[object],
    slices: Sequence[slice],
) -> tuple[Tensors, Tensors]:
    """Compute the diagonal of each value at some columns, inside a context.

    Returns:
        The diagonals, and the largest entries beside them.
    """
    with context:
        if len(slices) == 1:
            return _by_passes(problem, bound, columns)
        parts = [
            _by_passes(*at_samples(problem, bound, some), columns) for some in slices
        ]
    diagonals, largest = (
        tuple(map(torch.cat, zip(*each, strict=True)))
        for each in zip(*parts, strict=True)
    )
    return diagonals, largest


def _by_passes(
    problem: Problem, bound: BoundFunction, columns: Tensor
) -> tuple[Tensors, Tensors]:
    """Pull back each entry of the gradient that a diagonal entry is in."""
    primals = bound.tracked()
    outputs = bound(*primals)
    samples, count = problem.sample_count, columns.numel()
    found = [
        torch.zeros(samples, spec.size, count, dtype=torch.float64, device="cpu")
        for spec in problem.values
    ]
    largest = [torch.zeros_like(target) for target in found]
    # One backward pass serves all samples, unless they share an input.
    step = 1 if problem.shares else max(1, samples)
    starts = range(0, samples, step)
    for value, (target, beside) in enumerate(zip(found, largest, strict=True)):
        for entry in range(target.shape[1]):
            for (place, column), start in product(enumerate(columns.tolist()), starts):
                some = slice(start, start + step)
                seeds = _cotangents(problem, outputs, (value, entry, column), some)
                row = _row(problem, pull(outputs, primals, seeds), some)
                target[some, entry, place] = row[:, column]
                finite = row.nan_to_num(0.0, 0.0, 0.0)
                beside[some, entry, place] = finite.abs().amax(1)
    return tuple(found), tuple(largest)


def _cotangents(
    problem: Problem, outputs: Tensors, chosen: tuple[int, int, int], some: slice
) -> Tensors:
    """Return those that select the gradient of a value's entry by an input's entry."""
    value, entry, column = chosen
    joined = problem.options.joined
    parts = gradients(problem.values, problem.inputs, joined=joined)
    seeds: list[Tensor] = []
    for output, part in zip(outputs, parts, strict=True):
        seed = torch.zeros(output.shape, dtype=output.dtype, device=output.device)
        local = column - part.start
        if part.value == value and 0 <= local < part.count:
            whole = seed.view(problem.sample_count, part.entries, part.count)
            whole[some, entry, local] = 1
        seeds.append(seed)
    return tuple(seeds)


def _row(problem: Problem, products: Tensors, some: slice) -> Tensor:
    """Flatten one backward pass to the rows of these samples, `(S, N)`."""
    count = some.stop - some.start
    parts = [
        g.detach().reshape(1, -1).expand(count, -1)
        if spec.batch_dim is None
        else g.detach().reshape(problem.sample_count, -1)[some]
        for g, spec in zip(products, problem.inputs, strict=True)
    ]
    return torch.cat(parts, dim=1).to("cpu", torch.float64)
