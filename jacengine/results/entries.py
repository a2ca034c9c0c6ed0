"""Entries of a sparse Jacobian, and where they are in the blocks of a result."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from jacengine.problem.problem import Problem
from jacengine.results.result_layout import Key, ResultLayout


@dataclass(frozen=True)
class Place:
    """The entries that are in one block of a result.

    Attributes:
        key: The block.
        inside: Which of the entries; `None`: all.
        flat: Where each is in the block, rows and columns flattened.
    """

    key: Key
    inside: Tensor | None
    flat: Tensor


@dataclass(frozen=True, eq=False)
class Entries:
    """Some entries of J, each once.

    Attributes:
        rows: The row of each, among all of J, `(E,)`.
        columns: The column of each, `(E,)`.
        which: Their numbers among those that a sparse result holds; `None`: they are
            all of those.
    """

    rows: Tensor
    columns: Tensor
    which: Tensor | None = None
    _places: dict[ResultLayout, tuple[Place, ...]] = field(default_factory=dict)

    def places(self, layout: ResultLayout) -> tuple[Place, ...]:
        """Find them in the blocks of a layout; found once."""
        if layout not in self._places:
            found: list[Place] = []
            for key, inside, row, column in layout.locate(self.rows, self.columns):
                device = layout.blocks[key].device
                flat = row * layout.columns[key[1]].size + column
                every = inside.numel() == self.rows.numel()
                inside_there = None if every else inside.to(device)
                found.append(Place(key, inside_there, flat.to(device)))
            self._places[layout] = tuple(found)
        return self._places[layout]


def all_entries(problem: Problem) -> Entries:
    """Return all entries of a problem's pattern.

    Those above the diagonal have the numbers of their mirror images, where a result
    holds the lower triangle alone.

    Raises:
        ValueError: The problem has no pattern.
    """
    pattern, stored = problem.pattern, problem.stored_pattern
    if pattern is None or stored is None:
        raise ValueError("there is no pattern")
    rows, columns = pattern.rows, pattern.columns
    if stored is pattern:
        return Entries(rows, columns)
    lower = torch.maximum(rows, columns), torch.minimum(rows, columns)
    return Entries(rows, columns, stored.numbers_of(*lower))
