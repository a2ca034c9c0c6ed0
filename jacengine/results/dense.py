"""A dense matrix, allocated once and written in place.

A product that is all of a block becomes the block, without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import without_storage
from jacengine._torchfunc import Tensors
from jacengine.results.buffer_pool import BufferPool
from jacengine.results.entries import Entries
from jacengine.results.huge_pages import allocate
from jacengine.results.matrix import MatrixResult, Region
from jacengine.results.result_layout import Key, ResultLayout
from jacengine.task import Task


class DenseResult(MatrixResult):
    """A matrix in new memory, or in that of a pool."""

    def __init__(
        self,
        layout: ResultLayout,
        *,
        in_use: Callable[[], set[int]] | None = None,
        pool: BufferPool | None = None,
    ) -> None:
        """Begin a result; nothing is allocated yet.

        Args:
            layout: The layout of its blocks.
            in_use: Lists the storages that must not become the result's, by address;
                `None`: no product may become a block.
            pool: Where memory comes from; `None`: it is new.
        """
        super().__init__(layout)
        self._memory: dict[Key, Tensor] = {}
        self._in_use = in_use
        self._allocate = allocate if pool is None else pool.allocate
        self._adopted: set[int] = set()

    def add_entries(self, values: Tensor, entries: Entries, samples: slice) -> None:
        """Write single entries into blocks of zeros."""
        with torch.no_grad():
            for place in entries.places(self.layout):
                block = self._zeroed(place.key)
                own = values if place.inside is None else values[:, place.inside]
                flat = block.view(block.shape[0], -1)[samples]
                flat.index_copy_(1, place.flat, own.to(block.dtype))

    def entries_at(self, entries: Entries, samples: slice) -> Tensor:
        """Read entries out of the blocks."""
        places = entries.places(self.layout)
        found = [
            self._zeroed(place.key).flatten(1)[samples].index_select(1, place.flat)
            for place in places
        ]
        if len(places) == 1 and places[0].inside is None:
            return found[0]
        size, dtype = samples.stop - samples.start, self.layout.dtype
        device = self.layout.problem.outputs[0].device
        every = torch.zeros(size, entries.rows.numel(), dtype=dtype, device=device)
        for place, values in zip(places, found, strict=True):
            every[:, place.inside] = values.to(dtype)
        return every

    def rows_view(self, task: Task) -> Tensors | None:
        """View the rows of a task, unless they are in several blocks or chosen."""
        problem, layout = self.layout.problem, self.layout
        met = [
            (row, overlap[1])
            for row, group in enumerate(layout.rows)
            if (overlap := group.overlap(task.block, layout.times)) is not None
        ]
        if problem.columns is not None or len(met) != 1:
            return None
        row, local = met[0]
        views: list[Tensor] = []
        for spec, (column, across) in zip(
            problem.inputs, self._across(problem.inputs), strict=True
        ):
            view = self._block((row, column))[self._samples(task), local, across]
            view = view.unflatten(2, spec.shape) if spec.shape else view.squeeze(2)
            view = view.transpose(0, 1)
            sampled = problem.batch_size is not None and not layout.coupled
            views.append(view if sampled else view[:, 0])
        return tuple(views)

    def _add(self, key: Key, region: Region, piece: Tensor) -> None:
        if not self._adopt(key, piece):
            with torch.no_grad():
                self._block(key)[region].copy_(piece)

    def _adopt(self, key: Key, piece: Tensor) -> bool:
        """Make a product that is all of a block the block, copied only if need be."""
        block = self.layout.blocks[key]
        if (
            piece.shape != block.extent
            or key in self._memory
            or piece.dtype != block.dtype
            or piece.device != block.device
        ):
            return False
        if piece.requires_grad:
            piece = piece.detach()
        if not piece.is_contiguous():
            self._memory[key] = piece.contiguous()
            return True
        if self._in_use is None or without_storage(piece):
            return False
        storage = piece.untyped_storage()
        address = storage.data_ptr()
        if (
            storage.nbytes() != piece.numel() * piece.element_size()
            or address in self._adopted
            or address in self._in_use()
        ):
            return False
        self._memory[key] = piece
        self._adopted.add(address)
        return True

    def _block(self, key: Key) -> Tensor:
        if key not in self._memory:
            block = self.layout.blocks[key]
            self._memory[key] = self._allocate(
                block.extent, dtype=block.dtype, device=block.device
            )
        return self._memory[key]

    def _zeroed(self, key: Key) -> Tensor:
        """Return a block that is zero where nothing was written."""
        if key not in self._memory:
            self._block(key).zero_()
        return self._memory[key]

    def _finished(self, key: Key) -> Tensor:
        return self._zeroed(key)


class PreallocatedResult(DenseResult):
    """A matrix in memory of the user's (`out=`), which may be a file's."""

    def __init__(self, layout: ResultLayout, out: Any) -> None:
        """Write into `out`, which nests as the result does.

        Raises:
            ArgumentError: It is not of the result's structure, shapes or dtype.
        """
        super().__init__(layout)
        self._memory = layout.extents_of(out)
        self._untouched = set(self._memory)

    def _block(self, key: Key) -> Tensor:
        self._untouched.discard(key)
        return super()._block(key)

    def _zeroed(self, key: Key) -> Tensor:
        """Return a block that is zero where nothing was written."""
        if key in self._untouched:
            self._untouched.discard(key)
            self._memory[key].zero_()
        return self._memory[key]
