"""The standard basis, a block at a time: the one builder of one-hot seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class TensorLike(Protocol):
    """Anything that has the metadata of a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """The size of each axis."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype."""
        ...

    @property
    def device(self) -> torch.device:
        """The device."""
        ...


def one_hot(like: Sequence[TensorLike], entries: Tensor | range) -> tuple[Tensor, ...]:
    """Build one seed for each of some entries of several tensors.

    The identity of all entries is never built: `K` seeds hold `K` ones.

    Args:
        like: The tensors, whose entries are counted one tensor after the other.
        entries: Which `K` entries, in any order; a range must have step 1.

    Returns:
        For each tensor `(K, *shape)`. Where none of the entries is in a tensor, its
        seeds are an expanded zero, which takes no memory.
    """
    seeds: list[Tensor] = []
    start = 0
    for tensor in like:
        size = math.prod(tensor.shape)
        seed = _one_hot_within(tensor, size, entries, start)
        seeds.append(seed.view(len(entries), *tensor.shape))
        start += size
    return tuple(seeds)


def _one_hot_within(
    like: TensorLike, size: int, entries: Tensor | range, start: int
) -> Tensor:
    """Build the seeds of one tensor, whose first entry is number `start`."""
    shape = (len(entries), size)
    if isinstance(entries, range):
        first, last = max(entries.start, start), min(entries.stop, start + size)
        if first >= last:
            return torch.zeros((), dtype=like.dtype, device=like.device).expand(shape)
        seed = torch.zeros(shape, dtype=like.dtype, device=like.device)
        rows = slice(first - entries.start, last - entries.start)
        seed[rows, first - start : last - start].fill_diagonal_(1)
        return seed
    local = entries - start
    inside = ((local >= 0) & (local < size)).nonzero().flatten()
    if inside.numel() == 0:
        return torch.zeros((), dtype=like.dtype, device=like.device).expand(shape)
    seed = torch.zeros(shape, dtype=like.dtype, device=like.device)
    seed[inside.to(like.device), local[inside].to(like.device)] = 1
    return seed
