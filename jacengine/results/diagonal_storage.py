"""Storage of a diagonal or a trace: written in place, or pieces with their graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from jacengine.results.diagonal_indices import DiagonalEntries
from jacengine.results.huge_pages import allocate
from jacengine.results.result_layout import Key, ResultLayout


class DiagonalStorage(Protocol):
    """Where parts of a diagonal or a trace are stored."""

    def write(
        self, key: Key, samples: slice, values: Tensor, some: DiagonalEntries
    ) -> None:
        """Write entries `(S, G, m)` of some samples into a diagonal `(S, G, n)`."""

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Add sums `(S, O)` to the trace of some samples."""

    def finished(self, key: Key) -> Tensor:
        """Return a block when everything was added."""
        ...


class InPlaceStorage:
    """Entries are written in place; nothing is stored but the result."""

    def __init__(self, layout: ResultLayout, out: Mapping[Key, Tensor]) -> None:
        """Begin with no entry.

        Args:
            layout: The layout of the blocks.
            out: Preallocated blocks.
        """
        self._layout = layout
        self._out = out
        self._blocks: dict[Key, Tensor] = {}

    def write(
        self, key: Key, samples: slice, values: Tensor, some: DiagonalEntries
    ) -> None:
        """Write entries, or adopt them where they are the whole block."""
        block = self._layout.blocks[key]
        # What functorch returns may hold a graph, which would stay from block to block.
        entries = values.detach().to(block.dtype)
        whole = some.complete and len(values) == block.extent[0]
        if whole and key not in self._out:
            # They are a view of products.
            self._blocks[key] = entries.clone(memory_format=torch.contiguous_format)
        else:
            with torch.no_grad():
                target = self._block(key)  # (B, O, n), as of JVPs
                if values.shape[1] != block.extent[1]:
                    target = target.flatten(1).unsqueeze(1)
                target[samples, :, some.where] = entries

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Add to sums, which are taken in single precision at least."""
        block = self._layout.blocks[key]
        wide = torch.promote_types(block.dtype, torch.float32)
        with torch.no_grad():
            if key not in self._blocks and len(sums) == block.extent[0]:
                self._blocks[key] = sums.detach().to(wide, copy=True)
                return
            if key not in self._blocks:
                size = block.extent[:2]
                self._blocks[key] = torch.zeros(size, dtype=wide, device=block.device)
            self._blocks[key][samples] += sums

    def finished(self, key: Key) -> Tensor:
        """Return a block; in `out` if it was given."""
        found = self._block(key).to(self._layout.blocks[key].dtype)
        if key not in self._out:
            return found
        out = self._out[key]
        if found is not out:
            with torch.no_grad():
                out.copy_(found.reshape(out.shape))
        return out

    def _block(self, key: Key) -> Tensor:
        if key in self._blocks:
            return self._blocks[key]
        if key in self._out:
            return self._out[key]
        block = self._layout.blocks[key]
        made = allocate(block.extent, dtype=block.dtype, device=block.device)
        self._blocks[key] = made.zero_()  # of no column at all, a trace is zero
        return made


class GraphStorage:
    """Pieces are kept, and joined by what autograd can follow."""

    def __init__(self, layout: ResultLayout) -> None:
        """Begin with no pieces."""
        self._layout = layout
        # By the first of the samples that they are of.
        self._pieces: dict[Key, dict[int, list[tuple[Tensor, DiagonalEntries]]]] = {}
        self._sums: dict[Key, dict[int, list[Tensor]]] = {}

    def write(
        self, key: Key, samples: slice, values: Tensor, some: DiagonalEntries
    ) -> None:
        """Keep entries."""
        of_samples = self._pieces.setdefault(key, {})
        of_samples.setdefault(samples.start, []).append((values, some))

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Keep sums."""
        self._sums.setdefault(key, {}).setdefault(samples.start, []).append(sums)

    def finished(self, key: Key) -> Tensor:
        """Join the pieces of a block."""
        block = self._layout.blocks[key]
        size = block.extent[1] * block.extent[2]
        parts = [
            _spread(pieces, size)
            for _, pieces in sorted(self._pieces.get(key, {}).items())
        ]
        parts += [
            sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)
            for _, sums in sorted(self._sums.get(key, {}).items())
        ]
        if not parts:  # of no column at all
            return torch.zeros(block.shape, dtype=block.dtype, device=block.device)
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.to(block.dtype).contiguous()


def _spread(pieces: list[tuple[Tensor, DiagonalEntries]], size: int) -> Tensor:
    """Scatter entries `(S, G, m)` into a diagonal of `size` entries."""
    first, some = pieces[0]
    if some.complete:
        return first.flatten(1)
    samples, groups, _ = first.shape
    width = size // max(1, groups)
    entries = torch.arange(width, device=first.device)
    values = torch.cat([part for part, _ in pieces], dim=2)
    places = torch.cat([entries[some.where] for _, some in pieces])
    whole = first.new_zeros(samples, groups, width).index_copy(2, places, values)
    return whole.flatten(1)
