"""Products as pieces of blocks: what dense and differentiable matrices share.

A block is seen here as `(S, R, N)`: samples, rows, columns. Rows come from VJPs,
columns from JVPs; each product falls apart into pieces, one a block that it meets.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.call_spec import TensorSpec
from jacengine.results.result import Result
from jacengine.results.result_layout import Key
from jacengine.task import Task

Region = tuple[slice, slice, slice]
"""A part of a block: samples, rows, columns."""

ALL = slice(None)


class MatrixResult(Result):
    """A whole matrix that is assembled from pieces."""

    def add_rows(self, products: Tensors, task: Task) -> None:
        """Add the pieces of rows."""
        problem, layout = self.layout.problem, self.layout
        flat = self._flatten(products, problem.inputs, problem.columns, task)
        for row, group in enumerate(layout.rows):
            if (met := group.overlap(task.block, layout.times)) is not None:
                inner, local = met
                for (column, across), part in zip(
                    self._across(flat), flat, strict=True
                ):
                    region = (self._samples(task), local, across)
                    piece = part if inner == slice(0, part.shape[0]) else part[inner]
                    self._add((row, column), region, piece.transpose(0, 1))

    def add_columns(self, products: Tensors, task: Task) -> None:
        """Add the pieces of columns."""
        problem, layout = self.layout.problem, self.layout
        flat = self._flatten(products, problem.outputs, problem.rows, task)
        for column, group in enumerate(layout.columns):
            if (met := group.overlap(task.block, 1)) is not None:
                inner, local = met
                region = (self._samples(task), ALL, local)
                for row, part in enumerate(flat):
                    self._add((row, column), region, part[inner].permute(1, 2, 0))

    @abstractmethod
    def _add(self, key: Key, region: Region, piece: Tensor) -> None:
        """Add a piece to a block."""

    @abstractmethod
    def _finished(self, key: Key) -> Tensor:
        """Return a block when all pieces have been added."""

    def finish(self) -> None:
        """Bring the blocks into their final shapes."""
        layout = self.layout
        self.blocks = [
            [
                self._finished((row, column)).view(layout.blocks[row, column].shape)
                for column in range(len(layout.columns))
            ]
            for row in range(len(layout.rows))
        ]

    def _across(self, parts: Sequence[Any]) -> list[tuple[int, slice]]:
        """Return the group of columns of each input, and where it is in that group."""
        if len(parts) == len(self.layout.columns):
            return [(column, ALL) for column in range(len(parts))]
        sizes = [spec.size for spec in self.layout.problem.inputs]
        ends = itertools.accumulate(sizes)
        return [(0, slice(e - n, e)) for n, e in zip(sizes, ends, strict=True)]

    def _samples(self, task: Task) -> slice:
        return ALL if self.layout.coupled else task.samples

    def _flatten(
        self,
        products: Tensors,
        specs: Sequence[TensorSpec],
        chosen: Tensor | None,
        task: Task,
    ) -> list[Tensor]:
        """Flatten products to `(K, S, entries)`, one a group of the layout."""
        count = 1 if self.layout.coupled else task.sample_count
        flat = [
            product.reshape(product.shape[0], count, spec.size)
            for product, spec in zip(products, specs, strict=True)
        ]
        if chosen is None:
            return flat
        together = flat[0] if len(flat) == 1 else torch.cat(flat, dim=2)
        return [together[..., chosen.to(together.device)]]
