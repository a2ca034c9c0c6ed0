"""Which entries of products belong to a diagonal, and where in it.

The index tensors depend on no argument; they are computed once for a problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.problem.gradient_specs import Gradient, gradients
from jacengine.problem.problem import Problem

Index = slice | Tensor
"""Entries along an axis: consecutive ones, as a slice, or any, as indices."""


@dataclass(frozen=True)
class DiagonalEntries:
    """Entries of the products of one gradient tensor that belong to a diagonal.

    Attributes:
        gradient: The gradient tensor.
        directions: The direction of each ...
        entries: ... and its entry in that direction's product.
        column: The group of columns of the diagonal that they belong to.
        where: Their positions in it: of JVPs among the `n` input entries of the group,
            of VJPs among the entries `(O, n)` of a value's diagonal.
        values: The entry of the value that each belongs to; `None` if each has all of
            them (of JVPs), or if there is one.
        complete: Whether they are all of that diagonal, in order.
    """

    gradient: Gradient
    directions: Index
    entries: Index
    column: int
    where: Index
    values: Tensor | None
    complete: bool

    def of(self, products: Tensor) -> Tensor:
        """Take these entries from products `(K, ..., n)`; returns `(..., m)`."""
        if isinstance(self.directions, slice) and isinstance(self.entries, slice):
            square = products[self.directions, ..., self.entries]
            return square.diagonal(dim1=0, dim2=-1)
        moved = products.movedim(-1, 1)
        return moved[self.directions, self.entries].movedim(0, -1)


class DiagonalIndices:
    """The diagonal entries of every block of directions."""

    def __init__(self, problem: Problem) -> None:
        """Describe a problem; no index is computed yet."""
        joined = problem.options.joined
        self.gradients = tuple(gradients(problem.values, problem.inputs, joined=joined))
        count = sum(spec.size for spec in problem.inputs)
        chosen = problem.columns
        self._columns = torch.arange(count, device="cpu") if chosen is None else chosen
        self._order = None if chosen is None else torch.argsort(chosen)
        self._rows = problem.rows
        self._device = problem.outputs[0].device
        self._by_input = problem.part == "diagonal" and not problem.joined
        self._inputs = len(self.gradients) // len(problem.values)
        self._pushed: dict[tuple[int, int], tuple[DiagonalEntries, ...]] = {}
        self._pulled: dict[tuple[int, int], tuple[DiagonalEntries, ...]] = {}

    def of_block(self, block: slice, mode: str) -> tuple[DiagonalEntries, ...]:
        """Return the entries of a block of columns (JVPs) or of rows (VJPs)."""
        return self.of_columns(block) if mode == "jvp" else self.of_rows(block)

    def of_columns(self, block: slice) -> tuple[DiagonalEntries, ...]:
        """Return the entries of the JVPs of a block of columns."""
        key = (block.start, block.stop)
        if key not in self._pushed:
            self._pushed[key] = tuple(self._in_columns(block))
        return self._pushed[key]

    def of_rows(self, block: slice) -> tuple[DiagonalEntries, ...]:
        """Return the entries of the VJPs of a block of rows."""
        key = (block.start, block.stop)
        if key not in self._pulled:
            self._pulled[key] = tuple(self._in_rows(block))
        return self._pulled[key]

    def _in_columns(self, block: slice) -> list[DiagonalEntries]:
        found: list[DiagonalEntries] = []
        columns = self._columns[block]
        for number, gradient in enumerate(self.gradients):
            inside = (columns >= gradient.start) & (
                columns < gradient.start + gradient.count
            )
            which = inside.nonzero().flatten()
            if which.numel():
                column, start, width = self._group(number)
                where = block.start + which - start
                own = columns[which] - gradient.start
                complete = torch.equal(where, torch.arange(width, device="cpu"))
                pair, index = self._pair(which, own), self._index(where)
                found.append(
                    DiagonalEntries(gradient, *pair, column, index, None, complete)
                )
        return found

    def _in_rows(self, block: slice) -> list[DiagonalEntries]:
        found: list[DiagonalEntries] = []
        rows = self._rows
        wanted = (
            torch.arange(block.start, block.stop, device="cpu")
            if rows is None
            else rows[block]
        )
        first = 0
        for number, gradient in enumerate(self.gradients):
            last = first + gradient.entries * gradient.count
            which = ((wanted >= first) & (wanted < last)).nonzero().flatten()
            local = wanted[which] - first
            first = last
            if which.numel():
                column, start, width = self._group(number)
                own = gradient.start + local % gradient.count
                value = local // gradient.count
                where = value * width + self._rank(own) - start
                complete = torch.equal(
                    where, torch.arange(gradient.entries * width, device="cpu")
                )
                values = value.to(self._device) if gradient.entries > 1 else None
                pair, index = self._pair(which, own), self._index(where)
                found.append(
                    DiagonalEntries(gradient, *pair, column, index, values, complete)
                )
        return found

    def _group(self, number: int) -> tuple[int, int, int]:
        """Return a gradient's group of columns: its number, first entry and length."""
        gradient = self.gradients[number]
        if self._by_input:
            return number % self._inputs, gradient.start, gradient.count
        return 0, 0, self._columns.numel()

    def _pair(self, directions: Tensor, entries: Tensor) -> tuple[Index, Index]:
        first, second = _as_slice(directions), _as_slice(entries)
        if first is None or second is None:
            return directions.to(self._device), entries.to(self._device)
        return first, second

    def _index(self, numbers: Tensor) -> Index:
        consecutive = _as_slice(numbers)
        return numbers.to(self._device) if consecutive is None else consecutive

    def _rank(self, columns: Tensor) -> Tensor:
        """Return the positions of columns among those chosen."""
        if self._order is None:
            return columns
        return self._order[torch.searchsorted(self._columns[self._order], columns)]


def _as_slice(numbers: Tensor) -> slice | None:
    """Return numbers as a slice, if they are consecutive."""
    if bool((numbers.diff() == 1).all()):
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return None
