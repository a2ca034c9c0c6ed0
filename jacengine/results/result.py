"""The interface of a result: products are added, blocks come out, `u^T J` verifies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.errors import UnsupportedError
from jacengine.results.entries import Entries
from jacengine.results.result_layout import ResultLayout, nest
from jacengine.task import Task

Blocks = list[list[Tensor]]
"""The blocks of J: for each group of rows, one for each group of columns."""

SLICE = 2**15
"""Entries of J that are projected at a time, so that it takes next to no memory."""


@dataclass(frozen=True)
class Projection:
    """The product `u^T J`, of one group of columns.

    Attributes:
        value: The product, `(S, N)`.
        scale: The root of the sum of the squares of its terms, likewise.
    """

    value: Tensor
    scale: Tensor


class Result:
    """A Jacobian, or a part of it, in blocks; subclasses also assemble it.

    Attributes:
        layout: The layout of its blocks.
        blocks: The blocks, in their final shapes.
        outside: Whether products show nonzeros outside of the sparsity pattern, for
            each part of the samples.
        sums: What products tell of one that they are compared with, and the sum of the
            magnitudes of its terms, by the first sample that they are of.
        values: What the function returns, if that is wanted.
    """

    def __init__(self, layout: ResultLayout, blocks: Blocks | None = None) -> None:
        """Hold these blocks, or none until `finish`."""
        self.layout = layout
        self.blocks: Blocks = [] if blocks is None else blocks
        self.outside: list[Tensor] = []
        self.sums: dict[int, tuple[Tensor, Tensor]] = {}
        self.values: Tensors = ()

    def add_rows(self, products: Tensors, task: Task) -> None:
        """Add products with the cotangents of rows.

        Args:
            products: One an input, `(K, *in)` or `(K, S, *in)`.
            task: The samples and the rows that they are of.
        """
        del products, task
        raise self._refusal("rows")

    def add_columns(self, products: Tensors, task: Task) -> None:
        """Add products with the tangents of columns.

        Args:
            products: One an output, `(K, *out)` or `(K, S, *out)`.
            task: The samples and the columns that they are of.
        """
        del products, task
        raise self._refusal("columns")

    def add_entries(self, values: Tensor, entries: Entries, samples: slice) -> None:
        """Add single entries, each once; all others stay zero.

        Args:
            values: The entries, `(S, E)`.
            entries: Which they are.
            samples: The samples that they are of.
        """
        del values, entries, samples
        raise self._refusal("single entries")

    def entries_at(self, entries: Entries, samples: slice) -> Tensor:
        """Return entries that have been added, `(S, E)`."""
        del entries, samples
        raise self._refusal("single entries")

    def add_sums(self, products: Tensors, task: Task) -> None:
        """Add parts of the trace, `(S, *out)`, one a value of the function."""
        del products, task
        raise self._refusal("sums over directions")

    def rows_view(self, task: Task) -> Tensors | None:
        """Return where the rows of a task go, one view an input.

        Returns:
            Views `(K, *in)` or `(K, S, *in)`; `None` if rows have to be added.
        """
        del task
        return None

    def finish(self) -> None:
        """Complete `blocks`."""

    def nested(self) -> Any:
        """Return the blocks nested as the user expects them."""
        return nest(self.layout.problem, self.blocks)

    def value(self) -> Any:
        """Return what the function returns, nested as it nests it."""
        return self.layout.problem.returned_structure.unflatten(self.values)

    def project(self, cotangents: Sequence[Tensor]) -> list[Projection]:
        """Compute `u^T J` from the blocks, a slice at a time.

        Args:
            cotangents: One a group of rows, `(S, R)`.

        Returns:
            One projection a group of columns.
        """
        return [
            self._project([row[column] for row in self.blocks], cotangents, group.size)
            for column, group in enumerate(self.layout.columns)
        ]

    def _project(
        self, blocks: Sequence[Tensor], cotangents: Sequence[Tensor], columns: int
    ) -> Projection:
        size = self.layout.problem.sample_count
        device = blocks[0].device
        precise = torch.promote_types(blocks[0].dtype, torch.float32)
        value = torch.zeros(size, columns, dtype=precise, device=device)
        scale = torch.zeros_like(value)
        for cotangent, block in zip(cotangents, blocks, strict=True):
            u = cotangent.to(device, precise)
            whole = block.detach().reshape(size, u.shape[1], columns)
            for samples, rows in _slices(size, u.shape[1], columns):
                part = whole[samples, rows].to(device, precise)
                weights = u[samples, None, rows]
                value[samples] += (weights @ part).squeeze(1)
                scale[samples] += (weights.square() @ part.square()).squeeze(1)
        return Projection(value, scale.sqrt())

    def _refusal(self, what: str) -> UnsupportedError:
        return UnsupportedError(f"a {type(self).__name__} cannot be given {what}")


def _slices(size: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield samples and rows such that no slice of J has many more than `SLICE`."""
    step = max(1, SLICE // max(1, columns))
    samples = max(1, step // max(1, rows))
    for first in range(0, size, samples):
        for row in range(0, rows, step):
            yield slice(first, first + samples), slice(row, row + step)
