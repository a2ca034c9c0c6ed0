"""The check of a sparse Jacobian: one random direction goes with the colours.

Its product must be that of the entries found. A nonzero outside of the pattern is added
to another entry, or to none, and so shows there, unless it is chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from jacengine.patterns.coloring import Coloring
from jacengine.patterns.pattern import Pattern
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.results.entries import Entries, all_entries
from jacengine.results.result import Result
from jacengine.task import Task
from jacengine.tolerance import ELSEWHERE, TOLERANCES, least_precise

SEED = 0x5EED
"""Seed of the random direction."""


class ColorCheck:
    """The random direction of a sweep, and the factors of its terms."""

    def __init__(
        self,
        problem: Problem,
        specs: Sequence[TensorSpec],
        shown: Sequence[TensorSpec],
        pattern: Pattern,
        coloring: Coloring | None,
        *,
        by_columns: bool,
        colors: int,
    ) -> None:
        """Describe a sweep.

        Args:
            problem: What is computed.
            specs: The tensors that seeds belong to.
            shown: The tensors that products belong to.
            pattern: Where J may be other than zero.
            coloring: The colours of the entries that seeds have, whose products show
                each entry in its own place; `None`: entries are read from the result.
            by_columns: Whether the columns of the pattern are coloured, not its rows.
            colors: How many colours are taken.
        """
        self._problem = problem
        self._length = sum(spec.size for spec in shown)
        self._size = sum(spec.size for spec in specs)
        self._device = specs[0].device
        self._dtype = least_precise(spec.dtype for spec in specs)
        self._pattern, self._coloring, self._colors = pattern, coloring, colors
        ends = (pattern.columns, pattern.rows)
        self._seeded, self._shown = ends if by_columns else ends[::-1]
        self._factors: dict[tuple[int, int], Tensor] = {}

    @property
    def bytes(self) -> int:
        """What it takes after the last direction, for each sample."""
        if self._coloring is not None:
            return 0
        return 2 * self._dtype.itemsize * self._pattern.nnz

    @cached_property
    def direction(self) -> Tensor:
        """The random direction, float32; its entries are neither tiny nor large."""
        generator = torch.Generator().manual_seed(SEED)
        size = (self._size,)
        signs = torch.randint(0, 2, size, generator=generator, device="cpu") * 2 - 1
        magnitude = torch.rand(
            size, generator=generator, dtype=torch.float32, device="cpu"
        )
        return signs * (magnitude + 0.5)

    def prepare(self, blocks: Sequence[slice]) -> list[Tensor]:
        """Build what every run needs, and return it."""
        if self._coloring is not None:
            return [self._factors_of(block, self._coloring) for block in blocks]
        entries, factors, shown = self._every
        return [entries.rows, entries.columns, factors, shown]

    def add(
        self, products: Tensor, task: Task, result: Result, *, last: Tensor | None
    ) -> None:
        """Add up what products tell of the one with the random direction.

        Args:
            products: Those of a block of colours, `(K, S, entries)`.
            task: The block.
            result: The result; what is found goes to its `outside`.
            last: The product with the random direction, with the last block.
        """
        if self._coloring is None:
            if last is not None:
                self._compare(last, *self._sums_of_entries(task, result), result)
            return
        factors = self._factors_of(task.block, self._coloring)
        with torch.no_grad():
            terms = products * factors.to(products.dtype)
            total = terms.sum(0, dtype=_precise(products.dtype))
            scale = terms.abs_().sum(0, dtype=total.dtype)
        key = task.samples.start
        if key in result.sums:
            total, scale = total + result.sums[key][0], scale + result.sums[key][1]
        result.sums[key] = total, scale
        if last is not None:
            self._compare(last, total, scale, result)

    def _factors_of(self, block: slice, coloring: Coloring) -> Tensor:
        """Return the factor of each entry of a block's products, `(K, 1, entries)`.

        It is zero where the pattern has no entry.
        """
        key = (block.start, block.stop)
        if key not in self._factors:
            colors = min(block.stop, self._colors) - block.start
            shape = (colors, 1, self._length)
            factors = torch.zeros(shape, dtype=self._dtype, device="cpu")
            color, place, seeded = coloring.color, coloring.place, self._seeded
            if colors < coloring.count:
                inside = (color >= block.start) & (color < block.start + colors)
                which = inside.nonzero().flatten()
                color, place, seeded = color[which], place[which], seeded[which]
            flat = (color - block.start) * self._length + place
            values = self.direction[seeded].to(self._dtype)
            factors.view(-1).index_copy_(0, flat, values)
            self._factors[key] = factors.to(self._device)
        return self._factors[key]

    @cached_property
    def _every(self) -> tuple[Entries, Tensor, Tensor]:
        """All entries, the factor of each, and where the product shows it."""
        entries = all_entries(self._problem)
        factors = self.direction[self._seeded].to(self._device, self._dtype)
        return entries, factors, self._shown.to(self._device)

    def _sums_of_entries(self, task: Task, result: Result) -> tuple[Tensor, Tensor]:
        """Multiply the entries that have been found with the random direction."""
        entries, factors, shown = self._every
        with torch.no_grad():
            values = result.entries_at(entries, task.samples)
            precise = _precise(values.dtype)
            terms = values.to(precise) * factors.to(precise)
            total = terms.new_zeros(task.sample_count, self._length)
            scale = total.index_add(1, shown, terms.abs())
            return total.index_add_(1, shown, terms), scale

    def _compare(
        self, product: Tensor, total: Tensor, scale: Tensor, result: Result
    ) -> None:
        """Compare the product with the random direction with that of the entries."""
        if not product.numel():
            return
        with torch.no_grad():
            product = product.to(total.dtype)
            scale = scale + product.abs()
            eps, largest = torch.finfo(self._dtype).eps, scale.amax()
            allowed = TOLERANCES[self._dtype].projection * scale
            wrong = (product - total).abs() > allowed + ELSEWHERE * eps * largest
            result.outside.append(wrong.any())


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
