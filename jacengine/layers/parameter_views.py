"""What an operator takes of a parameter: all of it, or a view.

Views lie in the graph as nodes of their own, between the parameter and the operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from jacengine._torch_private import made_shape, signed


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
        if expected != math.prod(self.shape):
            return ()
        for axis in axes:
            if self.shape[axis] != 1:
                expected //= self.shape[axis]
                if self.stride[axis] != expected:
                    return ()
        return tuple(axes)


@dataclass(frozen=True)
class _Kind:
    """A kind of node that is a view.

    Attributes:
        settings: Reads from a node what it was asked for.
        apply: Takes the view again: of a tensor, as the node's output of that number,
            with those settings.
    """

    settings: Callable[[Any], tuple[Any, ...]]
    apply: Callable[..., Tensor]


_ALIAS = _Kind(lambda _: (), lambda viewed, _: viewed)
_TRANSPOSE = _Kind(lambda _: (), lambda viewed, _: viewed.t())
_TRANSPOSE_AXES = _Kind(
    lambda node: (signed(node._saved_dim0), signed(node._saved_dim1)),
    lambda viewed, _, first, second: viewed.transpose(first, second),
)
_PERMUTE = _Kind(
    lambda node: tuple(map(signed, node._saved_dims)),
    lambda viewed, _, *axes: viewed.permute(axes),
)
_RESHAPE = _Kind(made_shape, lambda viewed, _, *shape: viewed.view(shape))
_SELECT = _Kind(
    lambda node: (signed(node._saved_dim), signed(node._saved_index)),
    lambda viewed, _, axis, index: viewed.select(axis, index),
)
_SPLIT = _Kind(
    lambda node: (signed(node._saved_dim), node._saved_split_size),
    lambda viewed, number, axis, size: viewed.split(size, axis)[number],
)
_SPLIT_WITH_SIZES = _Kind(
    lambda node: (signed(node._saved_dim), *node._saved_split_sizes),
    lambda viewed, number, axis, *sizes: viewed.split(sizes, axis)[number],
)
_UNBIND = _Kind(
    lambda node: (signed(node._saved_dim),),
    lambda viewed, number, axis: viewed.unbind(axis)[number],
)


def _sliced(
    viewed: Tensor, _: int, axis: int, start: int, stop: int, step: int
) -> Tensor:
    everything = slice(None)
    before = [everything] * (axis % viewed.dim())
    return viewed[(*before, slice(start, stop, step))]


_SLICE = _Kind(
    lambda node: (
        signed(node._saved_dim),
        signed(node._saved_start),
        signed(node._saved_end),
        node._saved_step,
    ),
    _sliced,
)

_KINDS = {
    "AliasBackward0": _ALIAS,
    "TBackward0": _TRANSPOSE,
    "TransposeBackward0": _TRANSPOSE_AXES,
    "PermuteBackward0": _PERMUTE,
    "ViewBackward0": _RESHAPE,
    "UnsafeViewBackward0": _RESHAPE,
    "ReshapeAliasBackward0": _RESHAPE,
    "UnsqueezeBackward0": _RESHAPE,
    "SqueezeBackward0": _RESHAPE,
    "SqueezeBackward1": _RESHAPE,
    "SqueezeBackward2": _RESHAPE,
    "SliceBackward0": _SLICE,
    "SelectBackward0": _SELECT,
    "SplitBackward0": _SPLIT,
    "SplitWithSizesBackward0": _SPLIT_WITH_SIZES,
    "UnbindBackward0": _UNBIND,
}

View = tuple[Any, ...]
"""A view that was taken: the node's name, which of its outputs, and its settings."""


def is_view(node: Node) -> bool:
    """Tell whether a node is a view of what it takes."""
    return node.name() in _KINDS


def view_of(node: Node, number: int) -> View:
    """Read which view a node's output is."""
    name = node.name()
    return (name, number, *_KINDS[name].settings(node))


def viewed(tensor: Tensor, views: Sequence[View]) -> Tensor:
    """Take views of a tensor, one of another."""
    for name, number, *settings in views:
        tensor = _KINDS[name].apply(tensor, number, *settings)
    return tensor
