"""Which entries of products a diagonal is made of, and where in it they stand.

Index tensors, computed once for a problem: they depend on no argument.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.problems.problem import Problem
from jacengine.problems.second_order import Gradient, gradients


@dataclass(frozen=True)
class Picked:
    """Entries of one gradient's products.

    Attributes:
        part: The gradient.
        directions: Of which directions they are, `(m,)` ...
        entries: ... and which input entry of each, `(m,)`.
        places: Where in a value's diagonal `(O, N)` they stand: of a pushforward all
            entries of the value, `(O m,)`, of a pullback one each, `(m,)`.
    """

    part: Gradient
    directions: Tensor
    entries: Tensor
    places: Tensor


class Places:
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
        self._pushed: dict[tuple[int, int], tuple[Picked, ...]] = {}
        self._pulled: dict[tuple[int, int], tuple[Picked, ...]] = {}

    @property
    def count(self) -> int:
        """How many input entries are asked for."""
        return self._columns.numel()

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
        for part in self.gradients:
            inside = (columns >= part.start) & (columns < part.start + part.count)
            which = inside.nonzero().flatten()
            if which.numel():
                steps = torch.arange(part.entries).unsqueeze(1) * self.count
                places = (steps + block.start + which).flatten()
                own = columns[which] - part.start
                found.append(self._picked(part, which, own, places))
        return found

    def _in_rows(self, block: slice) -> list[Picked]:
        found: list[Picked] = []
        rows = self._rows
        wanted = torch.arange(block.start, block.stop) if rows is None else rows[block]
        first = 0
        for part in self.gradients:
            last = first + part.entries * part.count
            which = ((wanted >= first) & (wanted < last)).nonzero().flatten()
            local = wanted[which] - first
            first = last
            if which.numel():
                column = part.start + local % part.count
                places = local // part.count * self.count + self._rank(column)
                found.append(self._picked(part, which, column, places))
        return found

    def _picked(
        self, part: Gradient, directions: Tensor, entries: Tensor, places: Tensor
    ) -> Picked:
        device = self._device
        return Picked(
            part, directions.to(device), entries.to(device), places.to(device)
        )

    def _rank(self, columns: Tensor) -> Tensor:
        """Find at which place among those chosen these columns stand."""
        if self._order is None:
            return columns
        return self._order[torch.searchsorted(self._columns[self._order], columns)]
