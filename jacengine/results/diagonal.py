"""The diagonal of a Hessian, or its trace, without the rest of it.

The Hessian is the Jacobian of the gradient `(*out, *in)`. Of the product with the
direction of an input entry only the same entry is on the diagonal, so nothing but the
diagonal `(S, O, N)` is ever stored, and of a trace only the partial sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.results.diagonal_indices import DiagonalEntries, DiagonalIndices
from jacengine.results.diagonal_storage import (
    DiagonalStorage,
    GraphStorage,
    InPlaceStorage,
)
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.task import Task


class DiagonalResult(Result):
    """A diagonal that is assembled from products of the whole matrix."""

    def __init__(
        self, layout: ResultLayout, indices: DiagonalIndices, *, out: Any = None
    ) -> None:
        """Begin a result.

        Args:
            layout: The layout of its blocks.
            indices: The entries of products that belong to it.
            out: Preallocated result to write into, of the result's structure.
        """
        super().__init__(layout)
        self._indices = indices
        given = {} if out is None else layout.extents_of(out)
        graph = layout.problem.options.create_graph
        self._storage: DiagonalStorage = (
            GraphStorage(layout) if graph else InPlaceStorage(layout, given)
        )

    def add_columns(self, products: Tensors, task: Task) -> None:
        """Add the diagonal entries of JVPs, one a gradient tensor."""
        by_gradient = dict(zip(self._indices.gradients, products, strict=True))
        for some in self._indices.of_columns(task.block):
            gradient = some.gradient
            product = by_gradient[gradient]
            shape = (len(product), task.sample_count, gradient.entries, gradient.count)
            self._add(some.of(product.reshape(shape)), some, task)

    def add_rows(self, products: Tensors, task: Task) -> None:
        """Add the diagonal entries of VJPs, one an input."""
        flat = [p.reshape(p.shape[0], task.sample_count, -1) for p in products]
        joined = flat[0] if len(flat) == 1 else torch.cat(flat, dim=2)
        for some in self._indices.of_rows(task.block):
            self._add(some.of(joined).unsqueeze(1), some, task)

    def finish(self) -> None:
        """Bring the blocks, values by inputs, into their final shapes."""
        layout = self.layout
        self.blocks = [
            [
                self._storage.finished((r, c)).reshape(layout.blocks[r, c].shape)
                for c in range(len(layout.columns))
            ]
            for r in range(len(layout.rows))
        ]

    def _add(self, values: Tensor, some: DiagonalEntries, task: Task) -> None:
        """Store entries of a value's diagonal.

        Args:
            values: The entries, `(S, O, m)`, or of all entries of the value together,
                `(S, 1, m)`.
            some: Which they are.
            task: The samples that they are of.
        """
        key = (some.gradient.value, some.column)
        self._storage.write(key, task.samples, values, some)


class TraceResult(DiagonalResult):
    """The sums of a diagonal, of which no entry is kept."""

    def add_sums(self, products: Tensors, task: Task) -> None:
        """Add sums over directions, one a value."""
        for number, part in enumerate(products):
            sums = part.reshape(task.sample_count, -1)
            self._storage.add((number, 0), task.samples, sums)

    def _add(self, values: Tensor, some: DiagonalEntries, task: Task) -> None:
        """Add entries of a value's diagonal up."""
        if some.values is None:
            sums = values.sum(2)
        else:
            none = values.new_zeros(len(values), some.gradient.entries)
            sums = none.index_add(1, some.values, values.squeeze(1))
        self._storage.add((some.gradient.value, some.column), task.samples, sums)
