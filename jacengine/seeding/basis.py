"""Which directions are pushed or pulled: basis vectors, made a block at a time.

The identity of all directions is never built; a block of `K` seeds holds `K` ones. With
independent samples the same seed serves every sample, as a view that takes no memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.call_spec import TensorSpec


@dataclass(frozen=True)
class Seeding:
    """The directions of one sweep.

    Attributes:
        leaves: The tensors that seeds belong to: inputs (tangents) or outputs
            (cotangents).
        samples: The length of each leaf's axis of samples, `None` where it has none.
        indices: The entry, over all leaves flattened, that each direction selects.
    """

    leaves: tuple[TensorSpec, ...]
    samples: tuple[int | None, ...]
    indices: Tensor

    @property
    def count(self) -> int:
        """The number of directions."""
        return self.indices.numel()

    @property
    def bytes(self) -> int:
        """The memory that all seeds take together."""
        return sum(self.count * leaf.size * leaf.dtype.itemsize for leaf in self.leaves)

    def blocks(self, chunk_size: int | None) -> Iterator[slice]:
        """Split the directions into blocks of nearly equal size, at most `chunk_size`.

        Balanced blocks leave no ragged last one, as in DifferentiationInterface.jl,
        https://github.com/JuliaDiff/DifferentiationInterface.jl
        (`reasonable_batchsize`).
        """
        return balanced(self.count, chunk_size)

    def seeds(self, block: slice) -> Tensors:
        """Build the seeds of one block.

        Returns:
            One tensor a leaf, `(K, *leaf)` or `(K, B, *leaf)`.
        """
        chosen = self.indices[block]
        sizes = [leaf.size for leaf in self.leaves]
        offsets = itertools.accumulate([0, *sizes[:-1]])
        return tuple(
            _basis(leaf, samples, chosen - offset)
            for leaf, samples, offset in zip(
                self.leaves, self.samples, offsets, strict=True
            )
        )

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        """Take the seeds of `count` samples; all samples have the same."""
        return tuple(
            seed if samples in {None, count} else seed[:, :count]
            for seed, samples in zip(seeds, self.samples, strict=True)
        )


def balanced(total: int, chunk_size: int | None) -> Iterator[slice]:
    """Split `total` into the fewest blocks of at most `chunk_size`, evenly."""
    if total == 0:
        return
    count = 1 if chunk_size is None else -(-total // chunk_size)
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)


def _basis(leaf: TensorSpec, samples: int | None, entries: Tensor) -> Tensor:
    """Build one leaf's share of a block; entries outside the leaf seed nothing."""
    count = entries.numel()
    inside = ((entries >= 0) & (entries < leaf.size)).nonzero().flatten()
    shape: Sequence[int] = (count, *leaf.shape)
    if inside.numel() == 0:
        seed = torch.zeros((), dtype=leaf.dtype, device=leaf.device).expand(shape)
    else:
        flat = torch.zeros((count, leaf.size), dtype=leaf.dtype, device=leaf.device)
        row = inside.to(leaf.device)
        flat[row, entries[inside].to(leaf.device)] = 1
        seed = flat.view(shape)
    if samples is None:
        return seed
    return seed.unsqueeze(1).expand(count, samples, *leaf.shape)
