"""Is a diagonal or a trace right? The same by plain reverse mode over reverse mode.

No projection of a Hessian tells its trace, so the diagonal itself is computed, one
entry of the input after the other, with two ordinary backward passes each. Of many
entries some are drawn, and a candidate is judged on those: as many as cost about as
much as a selection does.
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
from jacengine.selection.reference_context import reference_context
from jacengine.selection.tolerance import CANCELLED, NOISE, TOLERANCE, Verification

PASSES = 128
"""Backward passes that a selection spends on knowing the truth ..."""
FEW = 16
"""... and that are spent on a method that was found right before."""
WATCHED = 4
"""Samples whose rounding is looked at, by how far their Hessian is from symmetric."""
MARGINAL = 1e-2
"""Relative errors up to which it is looked whether they are rounding ..."""
SHAKEN, SHAKES = 8, 2
"""... which is forgiven up to this multiple of what plain autograd's own result changes
by when its inputs are rounded otherwise, in so many ways: none is nearer to the truth.
"""


@dataclass(frozen=True)
class DiagonalReference:
    """Entries of the diagonal, by plain reverse mode.

    Attributes:
        columns: The input entries that were drawn; `None` for all that are asked for.
        values: The diagonal of each value, `(S, O, K)`.
        rows: The largest entry of the Hessian's row that each of them is in: a diagonal
            that cancels to nothing carries the rounding of what it is made of.
        trace: Whether only its sum is asked for.
        noise: How far from symmetric plain autograd's own Hessian is.
        dtype: The least precise dtype among inputs and outputs.
        shaken: Computes the diagonals with the inputs rounded otherwise.
    """

    columns: Tensor | None
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
            problem: What is asked for.
            bound: The function at the arguments.
            passes: Backward passes that this may take; `None` computes all entries.
        """
        count = sum(leaf.size for leaf in problem.inputs)
        wanted = torch.arange(count) if problem.columns is None else problem.columns
        each = sum(leaf.size for leaf in problem.values)
        each *= problem.sample_count if problem.shares else 1
        most = wanted.numel() if passes is None else max(1, passes // max(1, each))
        columns = None
        if wanted.numel() > most:
            drawn = torch.randperm(wanted.numel(), generator=_fixed())[:most]
            columns = wanted = wanted[drawn.sort().values]
        leaves = (*problem.inputs, *problem.values)
        dtype = max((leaf.dtype for leaf in leaves), key=lambda d: torch.finfo(d).eps)
        eps = torch.finfo(dtype).eps

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
            values,
            rows,
            problem.part == "trace",
            noise,
            dtype,
            shaken=lambda seed: diagonals(functools.partial(_shake, eps, seed))[0],
        )

    def restricted(self, problem: Problem) -> Problem:
        """Return the problem of those entries alone on which it can be judged."""
        columns = self.columns
        if columns is None:
            return problem
        rows = diagonal_rows(problem.values, problem.inputs, columns, problem.options)
        return replace(problem, columns=columns, rows=rows)

    def judge(self, blocks: Sequence[Sequence[Tensor]]) -> Verification:
        """Compare a result, of the restricted problem.

        Args:
            blocks: Its blocks, values by inputs.
        """
        verdict = self._judge(blocks, [torch.zeros(1, 1, 1)] * len(blocks))
        if verdict.right or not verdict.finite or verdict.error > MARGINAL:
            return verdict
        return self._judge(blocks, self._rounding)

    @functools.cached_property
    def _rounding(self) -> list[Tensor]:
        """What rounding the inputs does to each value's diagonals, or to their sums."""
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

    def _judge(
        self, blocks: Sequence[Sequence[Tensor]], rounding: Sequence[Tensor]
    ) -> Verification:
        """Compare a result, and forgive a multiple of each value's rounding too."""
        right, finite, worst = True, True, 0.0
        tolerance = TOLERANCE[self.dtype]
        cancelled = min(CANCELLED * torch.finfo(self.dtype).eps, tolerance)
        for line, reference, rows, more in zip(
            blocks, self.values, self.rows, rounding, strict=True
        ):
            if reference.numel() == 0:
                continue
            shape = reference.shape[:2]
            got = torch.cat([part.detach().reshape(*shape, -1) for part in line], dim=2)
            got, known = got.to(reference), reference
            scale = reference.abs() + rows * (cancelled / tolerance)
            floor = NOISE * self.noise + SHAKEN * more
            if self.trace:
                scale, known = (t.sum(2, keepdim=True) for t in (scale, reference))
            there = known.isfinite()
            finite &= bool(got[there].isfinite().all())
            difference = (got - known)[there].abs()
            scale, floor = scale[there], floor.expand_as(known)[there]
            right &= bool((difference <= tolerance * scale + floor).all())
            tiny = torch.finfo(reference.dtype).tiny
            relative = difference / (scale + floor + tiny)
            if relative.numel():
                worst = max(worst, float(relative.nan_to_num(nan=float("inf")).max()))
        return Verification(right and finite, worst, finite)


def _fixed(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _untouched(primal: Tensor) -> Tensor:
    return primal


def _shake(eps: float, seed: int, primal: Tensor) -> Tensor:
    """Round each entry another way."""
    drawn = torch.randint(-1, 2, primal.shape, generator=_fixed(seed))
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
    watched = min(samples, WATCHED)
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
