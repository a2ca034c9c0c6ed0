"""What an operator takes of a parameter: all of it, or a view.

Views lie in the graph as nodes of their own, between the parameter and the operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine._internals import made_shape, signed


@dataclass(frozen=True)
class Part:
    """A view of a contiguous tensor, or the tensor with its axes in another order.

    Attributes:
        whole: The shape of the tensor.
        shape: The view's shape.
        stride: The view's strides.
        offset: Where in the tensor it begins.
    """

    whole: tuple[int, ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, view: Tensor, whole: Sequence[int]) -> Part:
        """Describe a view by its strides."""
        offset = int(view.storage_offset())
        return cls(tuple(whole), tuple(view.shape), view.stride(), offset)

    @property
    def as_it_lies(self) -> bool:
        """Whether the part is the tensor itself."""
        return self.whole == self.shape and self._order == (*range(len(self.shape)),)

    def filled(
        self, make: Callable[[Tensor | None], Tensor], out: Tensor | None
    ) -> Tensor:
        """Make the block of the part, and have it where the whole has it.

        Args:
            make: Writes the part's block, `(a, b, *shape)`, where it is told, or gives
                a fresh one.
            out: Where to write, `(a, b, *whole)`.

        Returns:
            `(a, b, *whole)`, zero outside the part; `out` if it was given.
        """
        if out is not None and out[:1, :1].is_contiguous():
            make(self._within(out if self._order else out.zero_()))
            return out
        block, order = make(None), self._order
        if order:
            apart = block.permute(0, 1, *(2 + axis for axis in order))
            spread = apart.reshape(*block.shape[:2], *self.whole)
        else:
            spread = block.new_zeros(*block.shape[:2], *self.whole)
            self._within(spread).copy_(block)
        return spread if out is None else out.copy_(spread)

    def _within(self, block: Tensor) -> Tensor:
        """View `(a, b, *whole)`, contiguous but for the first two axes, as the part."""
        return block.as_strided(
            (*block.shape[:2], *self.shape),
            (*block.stride()[:2], *self.stride),
            int(block.storage_offset()) + self.offset,
        )

    @property
    def _order(self) -> tuple[int, ...]:
        """In which order its axes are the whole; empty if it is less than that."""
        axes = sorted(range(len(self.shape)), key=lambda i: (-self.stride[i], i))
        expected = math.prod(self.whole)
        if self.offset or expected != math.prod(self.shape):
            return ()
        for axis in axes:
            if self.shape[axis] != 1:
                expected //= self.shape[axis]
                if self.stride[axis] != expected:
                    return ()
        return tuple(axes)


ViewNode = Callable[[Any, Tensor, int], Tensor]
"""From a node, what is viewed, and which of the node's outputs it is, to the view."""


def _reshape(node: Any, viewed: Tensor, _: int) -> Tensor:
    return viewed.view(made_shape(node))


def _transpose(node: Any, viewed: Tensor, _: int) -> Tensor:
    return viewed.transpose(signed(node._saved_dim0), signed(node._saved_dim1))


def _permute(node: Any, viewed: Tensor, _: int) -> Tensor:
    return viewed.permute([signed(dim) for dim in node._saved_dims])


def _slice(node: Any, viewed: Tensor, _: int) -> Tensor:
    taken = slice(signed(node._saved_start), signed(node._saved_end), node._saved_step)
    all_of = slice(None)
    return viewed[(*[all_of] * (signed(node._saved_dim) % viewed.dim()), taken)]


def _select(node: Any, viewed: Tensor, _: int) -> Tensor:
    return viewed.select(signed(node._saved_dim), signed(node._saved_index))


def _split(node: Any, viewed: Tensor, number: int) -> Tensor:
    size = int(node._saved_split_size)
    return torch.split(viewed, size, signed(node._saved_dim))[number]


def _split_with_sizes(node: Any, viewed: Tensor, number: int) -> Tensor:
    sizes = [int(size) for size in node._saved_split_sizes]
    return torch.split(viewed, sizes, signed(node._saved_dim))[number]


def _unbind(node: Any, viewed: Tensor, number: int) -> Tensor:
    return viewed.unbind(signed(node._saved_dim))[number]


VIEWS: dict[str, ViewNode] = {
    "AliasBackward0": lambda _, viewed, __: viewed,
    "TBackward0": lambda _, viewed, __: viewed.t(),
    "TransposeBackward0": _transpose,
    "PermuteBackward0": _permute,
    "ViewBackward0": _reshape,
    "UnsafeViewBackward0": _reshape,
    "ReshapeAliasBackward0": _reshape,
    "UnsqueezeBackward0": _reshape,
    "SqueezeBackward0": _reshape,
    "SqueezeBackward1": _reshape,
    "SqueezeBackward2": _reshape,
    "SliceBackward0": _slice,
    "SelectBackward0": _select,
    "SplitBackward0": _split,
    "SplitWithSizesBackward0": _split_with_sizes,
    "UnbindBackward0": _unbind,
}
"""The nodes that are views, by name."""
