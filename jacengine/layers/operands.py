"""What operators of the autograd graph do with a parameter, told as layers.

A node of the graph keeps what its derivative needs: for the product of a matrix with a
parameter, that matrix, which is all that the parameter's block of J needs besides the
cotangents of the product. So the node is a layer, and has the rule of one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from jacengine._internals import made_shape
from jacengine.layers.pointwise import Project, Scale, Shift


@dataclass(frozen=True)
class Operand:
    """A parameter as one operator takes it.

    Attributes:
        layer: The layer that the operator is.
        name: Which of that layer's parameters it is ...
        view: ... and a view of it with the shape that it has there.
        x: What the layer takes in.
    """

    layer: nn.Module
    name: str
    view: Tensor
    x: Tensor


Reader = Callable[[Any, int, Tensor], Operand | None]
"""From a node, the position of a parameter among what it takes, and the parameter, to
what it is there; `None` if no layer is like it."""


def operand(node: Node, position: int, parameter: Tensor) -> Operand | None:
    """Read what an operator does with a parameter.

    Args:
        node: The operator's.
        position: Where among its arguments the parameter is.
        parameter: A tensor without data that stands for it.

    Returns:
        `None` if no layer is like it.

    Raises:
        RuntimeError: What it kept is gone, or was overwritten.
    """
    reader = _READERS.get(node.name())
    found = reader(node, position, parameter) if reader else None
    return None if found is None or found.x.is_complex() else found


def _addmm(node: Any, position: int, parameter: Tensor) -> Operand | None:
    if position == 0:
        return _shift(node, parameter, node._saved_beta)
    if position != 2 or node._saved_alpha != 1:
        return None
    return _linear(parameter, node._saved_mat1)


def _mm(node: Any, position: int, parameter: Tensor) -> Operand | None:
    return _linear(parameter, node._saved_self) if position == 1 else None


def _bmm(node: Any, position: int, parameter: Tensor) -> Operand | None:
    if position != 1 or parameter.shape[0] != 1:
        return None
    return _linear(parameter[0], node._saved_self)


def _linear(parameter: Tensor, x: Tensor) -> Operand:
    inputs, outputs = parameter.shape
    return Operand(_linear_layer(inputs, outputs), "weight", parameter.t(), x)


def _mv(node: Any, position: int, parameter: Tensor) -> Operand | None:
    if position != 1:
        return None
    return Operand(_projection(), "weight", parameter, node._saved_self)


def _mul(node: Any, position: int, parameter: Tensor) -> Operand | None:
    other = node._saved_self if position == 1 else node._saved_other
    view = _without_leading_ones(parameter)
    layer = _scale_layer(tuple(view.shape))
    return Operand(layer, "weight", view, other.expand(made_shape(node)))


def _add(node: Any, position: int, parameter: Tensor) -> Operand:
    return _shift(node, parameter, node._saved_alpha if position else 1)


def _sub(node: Any, position: int, parameter: Tensor) -> Operand:
    return _shift(node, parameter, -node._saved_alpha if position else 1)


def _expand(node: Any, _: int, parameter: Tensor) -> Operand:
    return _shift(node, parameter, 1)


def _shift(node: Any, parameter: Tensor, factor: float) -> Operand:
    view = _without_leading_ones(parameter)
    layer = _shift_layer(tuple(view.shape), float(factor))
    return Operand(layer, "weight", view, torch.zeros(()).expand(made_shape(node)))


def _embedding(node: Any, _: int, parameter: Tensor) -> Operand:
    rows, width = parameter.shape
    padding: int = node._saved_padding_idx
    layer = _embedding_layer(rows, width, padding, node._saved_scale_grad_by_freq)
    return Operand(layer, "weight", parameter, node._saved_indices)


def _index(node: Any, _: int, parameter: Tensor) -> Operand | None:
    indices: Sequence[Tensor | None] = node._saved_indices
    first = indices[0]
    if len(indices) != 1 or first is None or first.dtype == torch.bool:
        return None
    if parameter.dim() != 2:
        return None
    rows, width = parameter.shape
    layer = _embedding_layer(rows, width, -1, False)
    return Operand(layer, "weight", parameter, first.remainder(rows))


def _convolution(node: Any, position: int, parameter: Tensor) -> Operand | None:
    shape: Sequence[int] = node._saved_weight.shape
    strides = (node._saved_stride, node._saved_padding, node._saved_dilation)
    layer = _convolution_layer(
        tuple(shape), strides, node._saved_groups, node._saved_transposed
    )
    name = "weight" if position == 1 else "bias"
    return Operand(layer, name, parameter, node._saved_input)


_READERS: dict[str, Reader] = {
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


def _without_leading_ones(parameter: Tensor) -> Tensor:
    """Take axes away that broadcasting would add."""
    shape = list(parameter.shape)
    while shape and shape[0] == 1:
        del shape[0]
    return parameter.view(shape)


# Layers are made once for each way they can be, and without memory for parameters.


@functools.cache
def _linear_layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs, bias=False, device="meta")


@functools.cache
def _projection() -> nn.Module:
    return Project()


@functools.cache
def _scale_layer(shape: tuple[int, ...]) -> nn.Module:
    return Scale(shape)


@functools.cache
def _shift_layer(shape: tuple[int, ...], factor: float) -> nn.Module:
    return Shift(shape, factor)


@functools.cache
def _embedding_layer(rows: int, width: int, padding: int, by_freq: bool) -> nn.Module:
    return nn.Embedding(
        rows,
        width,
        padding_idx=None if padding < 0 else padding,
        scale_grad_by_freq=by_freq,
        device="meta",
    )


_Kinds = Mapping[int, Callable[..., nn.Module]]
_CONVOLUTIONS: _Kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: _Kinds = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


@functools.cache
def _convolution_layer(
    shape: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    groups: int,
    transposed: bool,
) -> nn.Module:
    first, second, *kernel = shape
    inputs, outputs = (first, second * groups)[:: 1 if transposed else -1]
    stride, padding, dilation = strides
    kinds = _TRANSPOSED if transposed else _CONVOLUTIONS
    return kinds[len(kernel)](
        inputs,
        outputs,
        tuple(kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        device="meta",
    )
