"""Rules for operators of the autograd graph, as equivalent layers.

A node of the graph saves the tensors that its derivative needs: for the product of a
matrix with a parameter, that matrix, which is all that the parameter's block of J needs
besides the cotangents of the product. So the node is equivalent to a layer, and the
layer's rule contracts it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from jacengine._torch_private import made_shape, saved
from jacengine.layers.linear import Broadcast, Project, Scale, Shift

LayerParameter = tuple[nn.Module, str, Tensor]
"""A layer, the name of one of its parameters, and that parameter as a view of the
operator's."""


@dataclass(frozen=True)
class EquivalentLayer:
    """The layer that an operator is equivalent to.

    Attributes:
        build: Makes the layer, from the operator's parameter and the options.
        options: The options of the operator.
    """

    build: Callable[..., LayerParameter]
    options: tuple[Hashable, ...] = ()


class SavedOperand(NamedTuple):
    """The layer that an operator is equivalent to, and that layer's input."""

    layer: EquivalentLayer
    x: Tensor


def saved_operand(node: Node, position: int) -> SavedOperand | None:
    """Read what an operator multiplies its argument at a position, a parameter, with.

    `None` if it is equivalent to no layer.

    Raises:
        RuntimeError: What it saved was freed or overwritten.
    """
    reader = _READERS.get(node.name())
    found = reader(node, position) if reader else None
    if found is None or found.x.is_complex() or found.x.layout != torch.strided:
        return None
    return found


# Layers are built without memory for their parameters.


def _build_linear(matrix: Tensor) -> LayerParameter:
    inputs, outputs = matrix.shape[-2:]
    layer = nn.Linear(inputs, outputs, bias=False, device="meta")
    return layer, "weight", matrix.view(inputs, outputs).t()


def _build_broadcast(
    parameter: Tensor, kind: type[Broadcast], factor: float = 1
) -> LayerParameter:
    shape = tuple(parameter.shape)
    while shape[:1] == (1,):  # broadcasting would add the axis
        shape = shape[1:]
    return kind(shape, factor), "weight", parameter.view(shape)


def _build_embedding(table: Tensor, padding: int, by_frequency: bool) -> LayerParameter:
    rows, width = table.shape
    layer = nn.Embedding(
        rows,
        width,
        padding_idx=None if padding < 0 else padding,
        scale_grad_by_freq=by_frequency,
        device="meta",
    )
    return layer, "weight", table


def _build_convolution(
    parameter: Tensor,
    name: str,
    shape: tuple[int, ...],
    transposed: bool,
    options: tuple[tuple[str, Any], ...],
) -> LayerParameter:
    first, second, *kernel = shape
    channels = (first, second * dict(options)["groups"])[:: 1 if transposed else -1]
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{len(kernel)}d")
    layer = kind(*channels, tuple(kernel), device="meta", **dict(options))
    return layer, name, parameter


_LINEAR = EquivalentLayer(_build_linear)
_PROJECTION = EquivalentLayer(lambda vector: (Project(), "weight", vector))
_SCALE = EquivalentLayer(_build_broadcast, (Scale,))


def _right(node: Node, position: int, layer: EquivalentLayer) -> SavedOperand | None:
    """Read a product of which the parameter is the right factor."""
    return SavedOperand(layer, saved(node, "self")) if position == 1 else None


def _addmm(node: Node, position: int) -> SavedOperand | None:
    if position == 0:
        return _shift(node, saved(node, "beta"))
    if position != 2 or saved(node, "alpha") != 1:
        return None
    return SavedOperand(_LINEAR, saved(node, "mat1"))


def _mul(node: Node, position: int) -> SavedOperand | None:
    other: Tensor = saved(node, "self" if position else "other")
    # Axes that broadcasting adds are among the positions that cotangents have.
    return SavedOperand(_SCALE, other.expand(made_shape(node)))


def _shift(node: Node, factor: float) -> SavedOperand:
    zeros = torch.zeros((), device="cpu").expand(made_shape(node))
    layer = EquivalentLayer(_build_broadcast, (Shift, float(factor)))
    return SavedOperand(layer, zeros)


def _embedding(node: Node, _: int) -> SavedOperand | None:
    options = (saved(node, "padding_idx"), saved(node, "scale_grad_by_freq"))
    layer = EquivalentLayer(_build_embedding, options)
    return SavedOperand(layer, saved(node, "indices"))


def _index(node: Node, _: int) -> SavedOperand | None:
    indices, sizes = saved(node, "indices"), saved(node, "self_sym_sizes")
    if len(indices) != 1 or len(sizes) != 2:
        return None
    if indices[0] is None or indices[0].dtype == torch.bool:
        return None
    layer = EquivalentLayer(_build_embedding, (-1, False))
    return SavedOperand(layer, indices[0].remainder(sizes[0]))


def _convolution(node: Node, position: int) -> SavedOperand | None:
    names = ("stride", "padding", "dilation", "groups")
    options = (
        "weight" if position == 1 else "bias",
        tuple(saved(node, "weight").shape),
        saved(node, "transposed"),
        tuple((name, saved(node, name)) for name in names),
    )
    layer = EquivalentLayer(_build_convolution, options)
    return SavedOperand(layer, saved(node, "input"))


_READERS: dict[str, Callable[[Any, int], SavedOperand | None]] = {
    "AddmmBackward0": _addmm,
    "MmBackward0": lambda node, i: _right(node, i, _LINEAR),
    "BmmBackward0": lambda node, i: (
        _right(node, i, _LINEAR) if made_shape(node)[0] == 1 else None
    ),
    "MvBackward0": lambda node, i: _right(node, i, _PROJECTION),
    "MulBackward0": _mul,
    "AddBackward0": lambda node, i: _shift(node, saved(node, "alpha") if i else 1),
    "SubBackward0": lambda node, i: _shift(node, -saved(node, "alpha") if i else 1),
    "ExpandBackward0": lambda node, _: _shift(node, 1),
    "EmbeddingBackward0": _embedding,
    "IndexBackward0": _index,
    "ConvolutionBackward0": _convolution,
}
"""By the name of the node: reads its saved tensors and options."""
