"""Rules: from a layer's input and output cotangents to those of its parameters.

Every rule is a pure function `(layer, x, g, out) -> block` on tensors in one form:

    x [s n ...]     the layer's input: samples, positions, the layer's own axes
    g [k s n ...]   cotangents of its output: directions, samples, positions, own axes
    block [k s ...] the cotangents of one parameter; written into `out` where given

A layer's output is linear in each of its parameters, so the block is one contraction of
`g` with `x` over the positions `n`, and nothing has to be pulled back a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jacengine._internals import BatchNorm, hooks_of
from jacengine.layers.convolution import conv_weight, transposed_weight

Contract = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]
OwnAxes = Callable[[nn.Module, int], int]
"""From a layer and a tensor's number of axes to how many trailing ones are its own."""


@dataclass(frozen=True)
class Rule:
    """What is known of a class of layers.

    Attributes:
        parameters: The contraction of each parameter, by name.
        input_axes: How many trailing axes of the input belong to the layer; the
            others are samples and positions.
        output_axes: The same for the output.
        applies: Whether the rule holds for a layer as it is configured now.
    """

    parameters: Mapping[str, Contract]
    input_axes: OwnAxes
    output_axes: OwnAxes
    applies: Callable[[nn.Module], bool] = lambda _: True


def written(block: Tensor, out: Tensor | None) -> Tensor:
    """Write a block where it belongs, if there is such a place."""
    return block if out is None else out.copy_(block)


def linear_weight(_: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `k s n o, s n i -> k s o i`; one position is an outer product."""
    x = x.to(g.dtype)
    if x.shape[1] == 1:
        left, right = g[:, :, 0, :, None], x[:, 0, None, :]
        return (
            torch.mul(left, right) if out is None else torch.mul(left, right, out=out)
        )
    return written(g.transpose(-1, -2) @ x, out)


def positions_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `k s n o -> k s o`."""
    return written(g[:, :, 0] if g.shape[2] == 1 else g.sum(2), out)


def channels_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `k s n c ... -> k s c` over positions and space."""
    return written(g.flatten(4).sum((2, -1)) if g.dim() > 4 else g.sum(2), out)


def embedding_weight(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Scatter `k s n e` into rows `x[s n]` of `k s v e`; padding takes no part."""
    assert isinstance(layer, nn.Embedding)
    shape = (*g.shape[:2], layer.num_embeddings, layer.embedding_dim)
    block = g.new_zeros(shape) if out is None else out.zero_()
    rows = x[None, :, :, None].expand(g.shape).long()
    if layer.padding_idx is not None:
        g = g.masked_fill(rows == layer.padding_idx, 0)
    return block.scatter_add_(2, rows, g.to(block.dtype))


def _scaled(
    normalise: Callable[[nn.Module, Tensor], Tensor], *, channels: bool
) -> Contract:
    """Make the rule of a scale that multiplies a normalised input."""

    def weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
        product = g * normalise(layer, x.flatten(0, 1)).view(x.shape)
        if channels:
            return channels_sum(layer, x, product, out)
        return positions_sum(layer, x, product, out)

    return weight


def _layer_normed(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    return F.layer_norm(x, list(layer.normalized_shape), None, None, layer.eps)


def _root_mean_square_normed(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.RMSNorm)
    return F.rms_norm(x, list(layer.normalized_shape), None, layer.eps)


def _group_normed(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.GroupNorm)
    return F.group_norm(x, layer.num_groups, None, None, layer.eps)


def _batch_normed(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, BatchNorm)
    mean, variance = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, variance, None, None, training=False, eps=layer.eps)


def _constant(count: int) -> OwnAxes:
    return lambda _, __: count


def _all_but_first(_: nn.Module, dim: int) -> int:
    return dim - 1


def _normalised_axes(layer: nn.Module, _: int) -> int:
    assert isinstance(layer, nn.LayerNorm | nn.RMSNorm)
    return len(layer.normalized_shape)


def _plain_embedding(layer: nn.Module) -> bool:
    assert isinstance(layer, nn.Embedding)
    return layer.max_norm is None and not layer.scale_grad_by_freq


def _frozen_statistics(layer: nn.Module) -> bool:
    return not layer.training and getattr(layer, "running_mean", None) is not None


def _conv(dimensions: int) -> Rule:
    axes = _constant(dimensions + 1)
    return Rule({"weight": conv_weight, "bias": channels_sum}, axes, axes)


def _transposed(dimensions: int) -> Rule:
    axes = _constant(dimensions + 1)
    return Rule({"weight": transposed_weight, "bias": channels_sum}, axes, axes)


_LINEAR = Rule(
    {"weight": linear_weight, "bias": positions_sum}, _constant(1), _constant(1)
)
_BATCH_NORM = Rule(
    {"weight": _scaled(_batch_normed, channels=True), "bias": channels_sum},
    _all_but_first,
    _all_but_first,
    _frozen_statistics,
)

RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: _LINEAR,
    nn.modules.linear.NonDynamicallyQuantizableLinear: _LINEAR,
    nn.Conv1d: _conv(1),
    nn.Conv2d: _conv(2),
    nn.Conv3d: _conv(3),
    nn.ConvTranspose1d: _transposed(1),
    nn.ConvTranspose2d: _transposed(2),
    nn.ConvTranspose3d: _transposed(3),
    nn.Embedding: Rule(
        {"weight": embedding_weight}, _constant(0), _constant(1), _plain_embedding
    ),
    nn.LayerNorm: Rule(
        {"weight": _scaled(_layer_normed, channels=False), "bias": positions_sum},
        _normalised_axes,
        _normalised_axes,
    ),
    nn.RMSNorm: Rule(
        {"weight": _scaled(_root_mean_square_normed, channels=False)},
        _normalised_axes,
        _normalised_axes,
    ),
    nn.GroupNorm: Rule(
        {"weight": _scaled(_group_normed, channels=True), "bias": channels_sum},
        _all_but_first,
        _all_but_first,
    ),
    nn.BatchNorm1d: _BATCH_NORM,
    nn.BatchNorm2d: _BATCH_NORM,
    nn.BatchNorm3d: _BATCH_NORM,
}
"""The layers with a rule, by exact class: a subclass may compute something else."""


def rule_for(layer: nn.Module) -> Rule | None:
    """Find the rule of a layer as it is configured now.

    Layers with hooks of the user's have none: what comes out of them is no longer what
    the class computes. Nor have parametrized ones, whose class is another.
    """
    rule = RULES.get(type(layer))
    return (
        rule
        if rule is not None and not any(hooks_of(layer)) and rule.applies(layer)
        else None
    )
