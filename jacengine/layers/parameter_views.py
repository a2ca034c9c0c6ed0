"""Views of parameters: what an operator takes of a parameter, if not the whole.

Views are nodes of the autograd graph, between the parameter and the operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from jacengine._torch_private import made_shape, saved


@dataclass(frozen=True)
class ParameterView:
    """A view of a contiguous tensor, whose shape is `whole`, by strides and offset."""

    whole: tuple[int, ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, view: Tensor, whole: Sequence[int]) -> ParameterView:
        """Describe a view by its strides."""
        offset = int(view.storage_offset())
        return cls(tuple(whole), tuple(view.shape), view.stride(), offset)

    @property
    def is_identity(self) -> bool:
        """Whether the view is the tensor itself."""
        return self.whole == self.shape and self._order == (*range(len(self.shape)),)

    def scatter(
        self, make: Callable[[Tensor | None], Tensor], out: Tensor | None
    ) -> Tensor:
        """Make the block of the view, in its place in the block of the whole.

        Args:
            make: Writes the view's block, `(a, b, *shape)`, into a tensor, or returns
                a new one.
            out: Where to write `(a, b, *whole)`, zero outside the view; else a new one.
        """
        if out is not None and out[:1, :1].is_contiguous():
            make(self._within(out if self._order else out.zero_()))
            return out
        block, order = make(None), self._order
        if order:
            permuted = block.permute(0, 1, *(2 + axis for axis in order))
            whole = permuted.reshape(*block.shape[:2], *self.whole)
        else:
            whole = block.new_zeros(*block.shape[:2], *self.whole)
            self._within(whole).copy_(block)
        return whole if out is None else out.copy_(whole)

    def _within(self, block: Tensor) -> Tensor:
        """Take the view of `(a, b, *whole)`, contiguous but for the first two axes."""
        return block.as_strided(
            (*block.shape[:2], *self.shape),
            (*block.stride()[:2], *self.stride),
            int(block.storage_offset()) + self.offset,
        )

    @property
    def _order(self) -> tuple[int, ...]:
        """The order of its axes that gives the whole; empty if it is less than that."""
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


_Read = Callable[[Node], tuple[Any, ...]]


def _saved(*names: str) -> _Read:
    return lambda node: tuple(saved(node, name) for name in names)


def _slice(x: Tensor, _: int, axis: int, start: int, stop: int, step: int) -> Tensor:
    before = [slice(None)] * (axis % x.dim())
    return x[(*before, slice(start, stop, step))]


def _split(x: Tensor, output: int, sizes: Any, axis: int) -> Tensor:
    return torch.split(x, sizes, axis)[output]


_VIEWS: dict[str, tuple[_Read, Callable[..., Tensor]]] = {
    "AliasBackward0": (_saved(), lambda x, _: x),
    "TBackward0": (_saved(), lambda x, _: x.t()),
    "TransposeBackward0": (
        _saved("dim0", "dim1"),
        lambda x, _, a, b: x.transpose(a, b),
    ),
    "PermuteBackward0": (_saved("dims"), lambda x, _, dims: x.permute(dims)),
    "SliceBackward0": (_saved("dim", "start", "end", "step"), _slice),
    "SelectBackward0": (_saved("dim", "index"), lambda x, _, *at: x.select(*at)),
    "SplitBackward0": (_saved("split_size", "dim"), _split),
    "SplitWithSizesBackward0": (_saved("split_sizes", "dim"), _split),
    "UnbindBackward0": (_saved("dim"), lambda x, output, dim: x.unbind(dim)[output]),
    **dict.fromkeys(
        (
            "ViewBackward0",
            "UnsafeViewBackward0",
            "ReshapeAliasBackward0",
            "UnsqueezeBackward0",
            "SqueezeBackward0",
            "SqueezeBackward1",
            "SqueezeBackward2",
        ),
        (made_shape, lambda x, _, *shape: x.view(shape)),
    ),
}
"""By the name of the node: how to read its options, and the view of a tensor that is
the node's output of a number."""
ViewOp = tuple[Any, ...]
"""A view that was taken: the node's name, which of its outputs, and its options."""


def is_view(node: Node) -> bool:
    """Tell whether a node is a view of its argument."""
    return node.name() in _VIEWS


def view_of(node: Node, output: int) -> ViewOp:
    """Read which view an output of a node is."""
    name = node.name()
    return (name, output, *_VIEWS[name][0](node))


def apply_views(tensor: Tensor, views: Sequence[ViewOp]) -> Tensor:
    """Take views of a tensor, one of another."""
    for name, output, *options in views:
        tensor = _VIEWS[name][1](tensor, output, *options)
    return tensor
