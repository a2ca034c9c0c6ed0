"""Is a diagonal or a trace right? It is compared with reverse mode over reverse mode.

No projection of a Hessian gives its diagonal, so the diagonal itself is computed, one
entry of the input after the other, with two ordinary backward passes each. Of many
entries a random part is computed, and a candidate is judged by those: as many as cost
about as much as a selection does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.execution.kernel_fallbacks import with_fallbacks
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.gradient_specs import diagonal_rows, gradients
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.selection.random_cotangents import draw_cotangents, generator
from jacengine.selection.reference_context import reference_context
from jacengine.selection.verification import (
    CANCELLATION,
    SPLIT_NOISE,
    Expected,
    Verification,
    compare,
)
from jacengine.tolerance import TOLERANCES, least_precise

SELECTION_PASSES = 128
"""Backward passes that a selection spends on its reference ..."""
RECHECK_PASSES = 16
"""... and that are spent on a method that was found right before."""
NOISE_SAMPLES = 4
"""Samples whose rounding is measured, by how far their Hessian is from symmetric."""
MARGINAL = 1e-2
"""Relative errors up to which it is measured whether they are rounding ..."""
SHAKE_FACTOR, SHAKES = 8, 2
"""... which is tolerated up to this multiple of the change of plain autograd's own
result when its inputs are rounded differently, in so many ways."""


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
        noise: How far from symmetric plain autograd's own Hessian is.
        dtype: The least precise dtype among inputs and outputs.
        shaken: Computes the diagonals with the inputs rounded differently.
    """

    columns: Tensor | None
    cotangents: Tensors
    values: Tensors
    rows: Tensors
    trace: bool
    noise: float
    dtype: torch.dtype
    shaken: Callable[[int], Tensors] = field(compare=False, repr=False)

    @classmethod
    def of(
        cls, problem: Problem, bound: BoundFunction, passes: int | None
    ) -> DiagonalReference:
        """Compute the diagonal at a call's arguments.

        Args:
            problem: What is computed.
            bound: The function at the arguments.
            passes: Backward passes that this may take; `None` computes all entries.
        """
        count = sum(spec.size for spec in problem.inputs)
        wanted = torch.arange(count) if problem.columns is None else problem.columns
        each = sum(spec.size for spec in problem.values)
        each *= problem.sample_count if problem.shares else 1
        most = wanted.numel() if passes is None else max(1, passes // max(1, each))
        columns = None
        if wanted.numel() > most:
            drawn = torch.randperm(wanted.numel(), generator=generator(0))[:most]
            columns = wanted = wanted[drawn.sort().values]
        specs = (*problem.inputs, *problem.values)
        dtype = least_precise(spec.dtype for spec in specs)
        eps = torch.finfo(dtype).eps
        counts = [spec.size for spec in problem.values]

        def diagonals(
            change: Callable[[Tensor], Tensor],
        ) -> tuple[Tensors, Tensors, float]:
            with reference_context(problem):
                return with_fallbacks(
                    functools.partial(_diagonals, problem, bound, wanted, change)
                )

        values, rows, noise = diagonals(_untouched)
        return cls(
            columns,
            draw_cotangents(problem.sample_count, counts, seed=0),
            values,
            rows,
            problem.part == "trace",
            noise,
            dtype,
            shaken=lambda seed: diagonals(functools.partial(_shake, eps, seed))[0],
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
        verification = self._compare(value, [torch.zeros(1, 1, 1)] * len(self.values))
        marginal = verification.finite and verification.error <= MARGINAL
        if verification.right or not marginal:
            return verification
        return self._compare(value, self._rounding)

    @functools.cached_property
    def _rounding(self) -> list[Tensor]:
        """The effect of rounding the inputs on each value's diagonals or traces."""
        changes = [torch.zeros(v.shape[0], v.shape[1], 1) for v in self.values]
        for seed in range(SHAKES):
            for k, (other, known) in enumerate(
                zip(self.shaken(seed), self.values, strict=True)
            ):
                change = (other - known).nan_to_num(0.0, 0.0, 0.0)
                total = change.sum(2, keepdim=True).abs()
                if not self.trace:
                    total = change.abs().amax(2, keepdim=True)
                changes[k] = torch.maximum(changes[k], total)
        return changes

    def _compare(self, value: Tensor, rounding: Sequence[Tensor]) -> Verification:
        """Compare a projection, with a tolerance for each value's rounding too."""
        tolerance = TOLERANCES[self.dtype].projection
        cancelled = min(CANCELLATION * torch.finfo(self.dtype).eps, tolerance)
        known = torch.zeros((), dtype=torch.float64)
        scale, floor = known, known
        for u, diagonal, rows, changes in zip(
            self.cotangents, self.values, self.rows, rounding, strict=True
        ):
            values, scales = diagonal, diagonal.abs() + rows * (cancelled / tolerance)
            if self.trace:
                values, scales = (t.sum(2, keepdim=True) for t in (values, scales))
            weights = u.unsqueeze(2)
            tolerated = SPLIT_NOISE * self.noise + SHAKE_FACTOR * changes
            known = known + (weights * values).sum(1)
            scale = scale + (weights * scales).square().sum(1)
            floor = floor + (weights * tolerated).square().sum(1)
        expected = Expected(known, scale.sqrt(), floor.sqrt())
        return compare([value], [expected], self.dtype)


def _untouched(primal: Tensor) -> Tensor:
    return primal


def _shake(eps: float, seed: int, primal: Tensor) -> Tensor:
    """Round each entry differently."""
    drawn = torch.randint(-1, 2, primal.shape, generator=generator(seed))
    return primal * (1 + eps * drawn.to(primal))


def _diagonals(
    problem: Problem,
    bound: BoundFunction,
    columns: Tensor,
    change: Callable[[Tensor], Tensor],
) -> tuple[Tensors, Tensors, float]:
    """Compute the diagonal of each value at some columns, of primals after a change.

    Returns:
        The diagonals, the largest entries beside them, and the rounding they show.
    """
    primals = tuple(
        change(p).detach().requires_grad_() for p in bound.primals(connected=False)
    )
    outputs = bound(*primals)
    samples = problem.sample_count
    found = [
        torch.zeros(samples, leaf.size, columns.numel(), dtype=torch.float64)
        for leaf in problem.values
    ]
    largest = [torch.zeros_like(target) for target in found]
    watched = min(samples, NOISE_SAMPLES)
    square = torch.zeros(watched, columns.numel(), columns.numel(), dtype=torch.float64)
    noise = 0.0
    for value, (target, beside) in enumerate(zip(found, largest, strict=True)):
        for entry in range(target.shape[1]):
            for place, column in enumerate(columns.tolist()):
                for some in _together(problem):
                    wanted = _Entry(value, entry, column, some)
                    seeds = wanted.cotangents(problem, outputs)
                    row = _row(problem, pull(outputs, primals, seeds), some)
                    target[some, entry, place] = row[:, column]
                    finite = row.nan_to_num(0.0, 0.0, 0.0)
                    beside[some, entry, place] = finite.abs().amax(1)
                    if some.start < watched:
                        seen = slice(some.start, min(some.stop, watched))
                        square[seen, place] = row[: seen.stop - seen.start][:, columns]
            uneven = (square - square.mT).nan_to_num().abs()
            noise = max(noise, float(uneven.max()) if uneven.numel() else 0.0)
    return tuple(found), tuple(largest), noise


def _together(problem: Problem) -> Iterator[slice]:
    """Yield the samples that one backward pass serves: all, unless they share."""
    step = 1 if problem.shares else max(1, problem.sample_count)
    for start in range(0, problem.sample_count, step):
        yield slice(start, start + step)


@dataclass(frozen=True)
class _Entry:
    """One entry of a gradient, of some samples."""

    value: int
    entry: int
    column: int
    samples: slice

    def cotangents(self, problem: Problem, outputs: Tensors) -> Tensors:
        """Return the cotangents of the gradient that select it."""
        joined = problem.options.layout == "flat"
        parts = gradients(problem.values, problem.inputs, joined=joined)
        seeds: list[Tensor] = []
        for output, part in zip(outputs, parts, strict=True):
            seed = torch.zeros(output.shape, dtype=output.dtype, device=output.device)
            local = self.column - part.start
            if part.value == self.value and 0 <= local < part.count:
                whole = seed.view(problem.sample_count, part.entries, part.count)
                whole[self.samples, self.entry, local] = 1
            seeds.append(seed)
        return tuple(seeds)


def _row(problem: Problem, products: Tensors, some: slice) -> Tensor:
    """Flatten one backward pass to the rows of these samples, `(S, N)`."""
    count = some.stop - some.start
    parts = [
        g.detach().reshape(1, -1).expand(count, -1)
        if leaf.batch_dim is None
        else g.detach().reshape(problem.sample_count, -1)[some]
        for g, leaf in zip(products, problem.inputs, strict=True)
    ]
    return torch.cat(parts, dim=1).to("cpu", torch.float64)
