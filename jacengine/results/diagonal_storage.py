"""A diagonal or a trace in the making: written in place, or kept for its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from jacengine.results.diagonal_indices import Picked
from jacengine.results.huge_pages import allocate
from jacengine.results.result_layout import Key, ResultLayout


class Gathered(Protocol):
    """What pieces of a diagonal are put into."""

    def place(self, key: Key, samples: slice, own: Tensor, picked: Picked) -> None:
        """Put entries `(S, G, m)` of some samples where they stand in the diagonal.

        Seen as `(S, G, n)`, they stand along its last axis.
        """

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Add sums `(S, O)` to the trace of some samples."""

    def closed(self, key: Key) -> Tensor:
        """Return a finished block."""
        ...


class Written:
    """Written in place: nothing is held but the result."""

    def __init__(self, blueprint: ResultLayout, given: Mapping[Key, Tensor]) -> None:
        """Begin.

        Args:
            blueprint: The blocks of the result.
            given: Memory of the user's for them.
        """
        self._blueprint = blueprint
        self._given = given
        self._blocks: dict[Key, Tensor] = {}

    def place(self, key: Key, samples: slice, own: Tensor, picked: Picked) -> None:
        """Write entries where they stand, or take over what is all there is."""
        block = self._blueprint.blocks[key]
        # What functorch returns may hold a graph, which would stay from block to block.
        entries = own.detach().to(block.dtype)
        whole = picked.complete and len(own) == block.extent[0]
        if whole and key not in self._given:
            # They are a view of products.
            self._blocks[key] = entries.clone(memory_format=torch.contiguous_format)
        else:
            with torch.no_grad():
                line = self._block(key)  # (B, O, n), as seen by a pushforward
                if own.shape[1] != block.extent[1]:
                    line = line.flatten(1).unsqueeze(1)
                line[samples, :, picked.where] = entries

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Add to sums, which are taken in single precision at least."""
        block = self._blueprint.blocks[key]
        wide = torch.promote_types(block.dtype, torch.float32)
        with torch.no_grad():
            if key not in self._blocks and len(sums) == block.extent[0]:
                self._blocks[key] = sums.detach().to(wide, copy=True)
                return
            if key not in self._blocks:
                size = block.extent[:2]
                self._blocks[key] = torch.zeros(size, dtype=wide, device=block.device)
            self._blocks[key][samples] += sums

    def closed(self, key: Key) -> Tensor:
        """Return a block, in the user's memory if there is some."""
        found = self._block(key).to(self._blueprint.blocks[key].dtype)
        if key not in self._given:
            return found
        given = self._given[key]
        if found is not given:
            with torch.no_grad():
                given.copy_(found.reshape(given.shape))
        return given

    def _block(self, key: Key) -> Tensor:
        if key in self._blocks:
            return self._blocks[key]
        if key in self._given:
            return self._given[key]
        block = self._blueprint.blocks[key]
        made = allocate(block.extent, dtype=block.dtype, device=block.device)
        self._blocks[key] = made.zero_()  # of no column at all, a trace is zero
        return made


class Recorded:
    """Kept piece by piece, and put together by what autograd can follow."""

    def __init__(self, blueprint: ResultLayout) -> None:
        """Begin."""
        self._blueprint = blueprint
        # By the first of the samples that they are of.
        self._pieces: dict[Key, dict[int, list[tuple[Tensor, Picked]]]] = {}
        self._sums: dict[Key, dict[int, list[Tensor]]] = {}

    def place(self, key: Key, samples: slice, own: Tensor, picked: Picked) -> None:
        """Keep entries."""
        of_samples = self._pieces.setdefault(key, {})
        of_samples.setdefault(samples.start, []).append((own, picked))

    def add(self, key: Key, samples: slice, sums: Tensor) -> None:
        """Keep sums."""
        self._sums.setdefault(key, {}).setdefault(samples.start, []).append(sums)

    def closed(self, key: Key) -> Tensor:
        """Put a block together."""
        block = self._blueprint.blocks[key]
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


def _spread(pieces: list[tuple[Tensor, Picked]], size: int) -> Tensor:
    """Put entries `(S, G, m)` where they stand in a diagonal of `size` entries."""
    first, picked = pieces[0]
    if picked.complete:
        return first.flatten(1)
    samples, groups, _ = first.shape
    width = size // max(1, groups)
    entries = torch.arange(width, device=first.device)
    values = torch.cat([own for own, _ in pieces], dim=2)
    places = torch.cat([entries[picked.where] for _, picked in pieces])
    whole = first.new_zeros(samples, groups, width).index_copy(2, places, values)
    return whole.flatten(1)
