"""What operators of the autograd graph do with a parameter, told as layers.

A node of the graph keeps what its derivative needs: for the product of a matrix with a
parameter, that matrix, which is all that the parameter's block of J needs besides the
cotangents of the product. So the node is a layer, and has the rule of one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from jacengine._torch_private import made_shape, signed
from jacengine.layers.broadcast_rules import Project, Scale, Shift

Described = tuple[nn.Module, str, Tensor]
"""A layer, the name of one of its parameters, and that parameter as it lies there."""


@dataclass(frozen=True)
class Likeness:
    """What layer an operator is like.

    Attributes:
        describe: Makes the layer, from the parameter as the operator takes it ...
        settings: ... and how the operator is set.
    """

    describe_call: Callable[..., Described]
    settings: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class SavedOperand:
    """A parameter as one operator takes it.

    Attributes:
        like: What layer the operator is like.
        x: What that layer takes in.
    """

    like: Likeness
    x: Tensor


def operand(node: Node, position: int) -> SavedOperand | None:
    """Read what an operator does with the parameter among its arguments.

    Args:
        node: The operator's.
        position: Where the parameter is.

    Returns:
        `None` if no layer is like it.

    Raises:
        RuntimeError: What it kept is gone, or was overwritten.
    """
    reader = _READERS.get(node.name())
    found = reader(node, position) if reader else None
    if found is None or found.x.is_complex() or found.x.layout != torch.strided:
        return None
    return found


def _addmm(node: Any, position: int) -> SavedOperand | None:
    if position == 0:
        return _shift(node, node._saved_beta)
    if position != 2 or node._saved_alpha != 1:
        return None
    return SavedOperand(_LINEAR, node._saved_mat1)


def _mm(node: Any, position: int) -> SavedOperand | None:
    return SavedOperand(_LINEAR, node._saved_self) if position == 1 else None


def _bmm(node: Any, position: int) -> SavedOperand | None:
    if position != 1 or made_shape(node)[0] != 1:
        return None
    return SavedOperand(_LINEAR, node._saved_self)


def _mv(node: Any, position: int) -> SavedOperand | None:
    return SavedOperand(_PROJECTION, node._saved_self) if position == 1 else None


def _mul(node: Any, position: int) -> SavedOperand | None:
    other: Tensor = node._saved_self if position else node._saved_other
    # Axes that broadcasting adds are among the positions that cotangents have.
    return SavedOperand(_SCALE, other.expand(made_shape(node)))


def _add(node: Any, position: int) -> SavedOperand:
    return _shift(node, node._saved_alpha if position else 1)


def _sub(node: Any, position: int) -> SavedOperand:
    return _shift(node, -node._saved_alpha if position else 1)


def _expand(node: Any, _: int) -> SavedOperand:
    return _shift(node, 1)


def _shift(node: Any, factor: float) -> SavedOperand:
    nothing = torch.zeros(()).expand(made_shape(node))
    return SavedOperand(Likeness(_like_shift, (float(factor),)), nothing)


def _embedding(node: Any, _: int) -> SavedOperand:
    settings = (signed(node._saved_padding_idx), node._saved_scale_grad_by_freq)
    return SavedOperand(Likeness(_like_embedding, settings), node._saved_indices)


def _index(node: Any, _: int) -> SavedOperand | None:
    indices: Sequence[Tensor | None] = node._saved_indices
    sizes: Sequence[int] = node._saved_self_sym_sizes
    first = indices[0]
    if len(indices) != 1 or first is None or first.dtype == torch.bool:
        return None
    if len(sizes) != 2:
        return None
    like = Likeness(_like_embedding, (-1, False))
    return SavedOperand(like, first.remainder(sizes[0]))


def _convolution(node: Any, position: int) -> SavedOperand | None:
    settings = (
        tuple(node._saved_weight.shape),
        (node._saved_stride, node._saved_padding, node._saved_dilation),
        node._saved_groups,
        node._saved_transposed,
    )
    like = _like_convolution if position == 1 else _like_bias_of_convolution
    return SavedOperand(Likeness(like, settings), node._saved_input)


_READERS: dict[str, Callable[[Any, int], SavedOperand | None]] = {
    "AddmmBackward0": _addmm,
    "MmBackward0": _mm,
    "BmmBackward0": _bmm,
    "MvBackward0": _mv,
    "MulBackward0": _mul,
    "AddBackward0": _add,
    "SubBackward0": _sub,
    "ExpandBackward0": _expand,
    "EmbeddingBackward0": _embedding,
    "IndexBackward0": _index,
    "ConvolutionBackward0": _convolution,
}

# Layers are made without memory for their parameters.


def _like_linear(matrix: Tensor) -> Described:
    inputs, outputs = matrix.shape[-2:]
    layer = nn.Linear(inputs, outputs, bias=False, device="meta")
    return layer, "weight", matrix.view(inputs, outputs).t()


def _like_projection(vector: Tensor) -> Described:
    return Project(), "weight", vector


def _like_scale(parameter: Tensor) -> Described:
    view = _without_leading_ones(parameter)
    return Scale(tuple(view.shape)), "weight", view


def _like_shift(parameter: Tensor, factor: float) -> Described:
    view = _without_leading_ones(parameter)
    return Shift(tuple(view.shape), factor), "weight", view


_LINEAR, _PROJECTION = Likeness(_like_linear), Likeness(_like_projection)
_SCALE = Likeness(_like_scale)


def _without_leading_ones(parameter: Tensor) -> Tensor:
    """Take axes away that broadcasting would add."""
    shape = list(parameter.shape)
    while shape and shape[0] == 1:
        del shape[0]
    return parameter.view(shape)


def _like_embedding(table: Tensor, padding: int, by_frequency: bool) -> Described:
    rows, width = table.shape
    layer = nn.Embedding(
        rows,
        width,
        padding_idx=None if padding < 0 else padding,
        scale_grad_by_freq=by_frequency,
        device="meta",
    )
    return layer, "weight", table


_Kinds = Mapping[int, Callable[..., nn.Module]]
_CONVOLUTIONS: _Kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: _Kinds = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def _like_convolution(
    parameter: Tensor,
    weight: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    groups: int,
    transposed: bool,
) -> Described:
    first, second, *kernel = weight
    inputs, outputs = (first, second * groups)[:: 1 if transposed else -1]
    stride, padding, dilation = strides
    kinds = _TRANSPOSED if transposed else _CONVOLUTIONS
    layer = kinds[len(kernel)](
        inputs,
        outputs,
        tuple(kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        device="meta",
    )
    return layer, "weight", parameter


def _like_bias_of_convolution(parameter: Tensor, *settings: Any) -> Described:
    return _like_convolution(parameter, *settings)[0], "bias", parameter
