"""Which entries of products a diagonal is made of, and where in it they stand.

Index tensors, computed once for a problem: they depend on no argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.problem.gradient_specs import Gradient, gradients
from jacengine.problem.problem import Problem

Index = slice | Tensor
"""Entries along an axis: a run of them, which takes no memory, or any."""


@dataclass(frozen=True)
class Picked:
    """Entries of one gradient's products, in their order.

    Attributes:
        part: The gradient.
        directions: Of which directions they are ...
        entries: ... and which entry of each.
        column: In which group of columns of the diagonal they stand.
        where: Where in it: of a pushforward the place among the `n` input entries of
            that group, of a pullback the place in a value's diagonal `(O, n)`.
        values: Of which entry of the value each is; `None`: all are of all (of a
            pushforward), or there is one.
        complete: Whether they are all of that diagonal, in order.
    """

    part: Gradient
    directions: Index
    entries: Index
    column: int
    where: Index
    values: Tensor | None
    complete: bool

    def of(self, products: Tensor) -> Tensor:
        """Take from products `(K, ..., n)` what was picked, `(..., m)`."""
        if isinstance(self.directions, slice) and isinstance(self.entries, slice):
            square = products[self.directions, ..., self.entries]
            return square.diagonal(dim1=0, dim2=-1)
        moved = products.movedim(-1, 1)
        return moved[self.directions, self.entries].movedim(0, -1)


class DiagonalIndices:
    """The entries of every block of directions."""

    def __init__(self, problem: Problem) -> None:
        """Look at what is asked for; nothing is computed yet."""
        joined = problem.options.layout == "flat"
        self.gradients = tuple(gradients(problem.values, problem.inputs, joined=joined))
        count = sum(leaf.size for leaf in problem.inputs)
        chosen = problem.columns
        self._columns = torch.arange(count) if chosen is None else chosen
        self._order = None if chosen is None else torch.argsort(chosen)
        self._rows = problem.rows
        self._device = problem.outputs[0].device
        self._by_input = problem.part == "diagonal" and not problem.joined
        self._inputs = len(self.gradients) // len(problem.values)
        self._pushed: dict[tuple[int, int], tuple[Picked, ...]] = {}
        self._pulled: dict[tuple[int, int], tuple[Picked, ...]] = {}

    def of_columns(self, block: slice) -> tuple[Picked, ...]:
        """Find what to take from the products of a pushforward."""
        key = (block.start, block.stop)
        if key not in self._pushed:
            self._pushed[key] = tuple(self._in_columns(block))
        return self._pushed[key]

    def of_rows(self, block: slice) -> tuple[Picked, ...]:
        """Find what to take from the products of a pullback."""
        key = (block.start, block.stop)
        if key not in self._pulled:
            self._pulled[key] = tuple(self._in_rows(block))
        return self._pulled[key]

    def _in_columns(self, block: slice) -> list[Picked]:
        found: list[Picked] = []
        columns = self._columns[block]
        for number, part in enumerate(self.gradients):
            inside = (columns >= part.start) & (columns < part.start + part.count)
            which = inside.nonzero().flatten()
            if which.numel():
                column, start, width = self._group(number)
                where = block.start + which - start
                own = columns[which] - part.start
                complete = torch.equal(where, torch.arange(width))
                pair, index = self._pair(which, own), self._index(where)
                found.append(Picked(part, *pair, column, index, None, complete))
        return found

    def _in_rows(self, block: slice) -> list[Picked]:
        found: list[Picked] = []
        rows = self._rows
        wanted = torch.arange(block.start, block.stop) if rows is None else rows[block]
        first = 0
        for number, part in enumerate(self.gradients):
            last = first + part.entries * part.count
            which = ((wanted >= first) & (wanted < last)).nonzero().flatten()
            local = wanted[which] - first
            first = last
            if which.numel():
                column, start, width = self._group(number)
                own = part.start + local % part.count
                value = local // part.count
                where = value * width + self._rank(own) - start
                complete = torch.equal(where, torch.arange(part.entries * width))
                values = value.to(self._device) if part.entries > 1 else None
                pair, index = self._pair(which, own), self._index(where)
                found.append(Picked(part, *pair, column, index, values, complete))
        return found

    def _group(self, number: int) -> tuple[int, int, int]:
        """Return the group of columns a gradient is in: number, first entry, length."""
        part = self.gradients[number]
        if self._by_input:
            return number % self._inputs, part.start, part.count
        return 0, 0, self._columns.numel()

    def _pair(self, directions: Tensor, entries: Tensor) -> tuple[Index, Index]:
        first, second = _run(directions), _run(entries)
        if first is None or second is None:
            return directions.to(self._device), entries.to(self._device)
        return first, second

    def _index(self, numbers: Tensor) -> Index:
        run = _run(numbers)
        return numbers.to(self._device) if run is None else run

    def _rank(self, columns: Tensor) -> Tensor:
        """Find at which place among those chosen these columns stand."""
        if self._order is None:
            return columns
        return self._order[torch.searchsorted(self._columns[self._order], columns)]


def _run(numbers: Tensor) -> slice | None:
    """Return numbers as a slice, if they go on one by one."""
    if bool((numbers.diff() == 1).all()):
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    return None
