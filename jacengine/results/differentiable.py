"""A matrix that can be differentiated: pieces are kept and joined, nothing is written.

For `create_graph=True`, where the graph that leads to each piece must stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.call_spec import TensorSpec
from jacengine.results.matrix import ALL, MatrixResult, Region
from jacengine.results.result_layout import Key, ResultLayout
from jacengine.task import Task


class DifferentiableResult(MatrixResult):
    """Pieces of a matrix, in the order in which they were added."""

    def __init__(self, layout: ResultLayout) -> None:
        """Begin with no pieces."""
        super().__init__(layout)
        self._pieces: dict[Key, list[tuple[Region, Tensor]]] = {}
        self._entries: dict[Key, list[tuple[slice, Tensor, Tensor, Tensor]]] = {}

    def add_entries(
        self, values: Tensor, rows: Tensor, columns: Tensor, samples: slice
    ) -> None:
        """Keep single entries."""
        for key, inside, row, column in self.layout.locate(rows, columns):
            kept = self._entries.setdefault(key, [])
            kept.append((samples, row, column, values[:, inside]))

    def _flatten(
        self,
        products: Tensors,
        specs: Sequence[TensorSpec],
        chosen: Tensor | None,
        task: Task,
    ) -> list[Tensor]:
        """Flatten products, those of all inputs side by side if they are one group."""
        flat = super()._flatten(products, specs, chosen, task)
        problem = self.layout.problem
        if specs is problem.inputs and problem.joined and len(flat) > 1:
            return [torch.cat(flat, dim=2)]
        return flat

    def _add(self, key: Key, region: Region, piece: Tensor) -> None:
        self._pieces.setdefault(key, []).append((region, piece))

    def _finished(self, key: Key) -> Tensor:
        """Join the pieces of a block by what autograd can follow."""
        block = self.layout.blocks[key]
        if key in self._entries:
            return self._scattered(key).to(block.dtype)
        if key not in self._pieces:  # of no row or of no column at all
            return torch.zeros(block.extent, dtype=block.dtype, device=block.device)
        pieces = self._pieces[key]
        axis = 1 if pieces[0][0][2] == ALL else 2
        by_samples: dict[tuple[Any, Any], list[Tensor]] = {}
        for (samples, _, _), piece in pieces:
            by_samples.setdefault((samples.start, samples.stop), []).append(piece)
        joined = [torch.cat(parts, dim=axis) for parts in by_samples.values()]
        return torch.cat(joined, dim=0).to(block.dtype).contiguous()

    def _scattered(self, key: Key) -> Tensor:
        """Scatter single entries into zeros."""
        size, rows, columns = self.layout.blocks[key].extent
        total = self._entries[key][0][3].new_zeros(size, rows, columns)
        every = torch.arange(size, device="cpu").unsqueeze(1)
        for samples, row, column, values in self._entries[key]:
            total = total.index_put((every[samples], row, column), values)
        return total
