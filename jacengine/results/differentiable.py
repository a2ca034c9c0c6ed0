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
from jacengine.results.entries import Entries
from jacengine.results.matrix import ALL, MatrixResult, Region
from jacengine.results.result_layout import Key, ResultLayout
from jacengine.task import Task


class DifferentiableResult(MatrixResult):
    """Pieces of a matrix, in the order in which they were added."""

    def __init__(self, layout: ResultLayout) -> None:
        """Begin with no pieces."""
        super().__init__(layout)
        self._pieces: dict[Key, list[tuple[Region, Tensor]]] = {}
        self._entries: list[tuple[slice, Entries, Tensor]] = []

    def add_entries(self, values: Tensor, entries: Entries, samples: slice) -> None:
        """Keep single entries."""
        self._entries.append((samples, entries, values))

    def entries_at(self, entries: Entries, samples: slice) -> Tensor:
        """Return entries of the whole pattern from all that were kept."""
        size, dtype = samples.stop - samples.start, self.layout.dtype
        total = self._entries[0][2].new_zeros(size, entries.rows.numel(), dtype=dtype)
        for some, part, values in self._entries:
            first = max(some.start, samples.start)
            last = min(some.stop, samples.stop)
            if first < last:
                found = values.detach()[first - some.start : last - some.start]
                rows = total[first - samples.start : last - samples.start]
                if part.which is None:
                    rows.copy_(found)
                else:
                    rows.index_copy_(1, part.which.to(total.device), found.to(dtype))
        return total

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
        if self._entries:
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
        block = self.layout.blocks[key]
        size, rows, columns = block.extent
        total = torch.zeros(
            size, rows * columns, dtype=block.dtype, device=block.device
        )
        every = torch.arange(size, device=block.device).unsqueeze(1)
        for samples, entries, values in self._entries:
            for place in entries.places(self.layout):
                if place.key == key:
                    own = values if place.inside is None else values[:, place.inside]
                    at = (every[samples], place.flat)
                    total = total.index_put(at, own.to(block.dtype))
        return total.view(size, rows, columns)
