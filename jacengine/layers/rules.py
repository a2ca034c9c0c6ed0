"""The layers that have a rule."""

from __future__ import annotations

from torch import nn

from jacengine.layers.broadcast_rules import (
    Project,
    Scale,
    Shift,
    own_axes,
    project,
    project_factors,
    scale,
    shift,
)
from jacengine.layers.convolution import (
    conv_by_groups,
    conv_by_rows,
    conv_by_windows,
    conv_factors,
    transposed_weight,
)
from jacengine.layers.linear import (
    channels_sum,
    embedding_rows,
    embedding_weight,
    linear_factors,
    linear_weight,
    positions_sum,
)
from jacengine.layers.normalization import (
    batch_normed,
    group_normed,
    layer_normed,
    normalised_scale,
    root_mean_square_normed,
)
from jacengine.layers.rule import Contract, Form, Rule, Rules


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
    implementations: tuple[Contract, ...] = (conv_by_windows, conv_by_groups)
    if dimensions > 1:
        implementations = (*implementations, conv_by_rows)
    weight = Form(implementations, conv_factors)
    axes = dimensions + 1
    return Rule({"weight": weight, "bias": channels_sum}, axes, axes)


def _transposed(dimensions: int) -> Rule:
    axes = dimensions + 1
    return Rule({"weight": transposed_weight, "bias": channels_sum}, axes, axes)


_LINEAR = Rule(
    {"weight": Form((linear_weight,), linear_factors), "bias": positions_sum}, 1, 1
)
_BATCH_NORM = Rule(
    {"weight": normalised_scale(batch_normed, channels=True), "bias": channels_sum},
    _all_but_first,
    _all_but_first,
    _frozen_statistics,
)

RULES = Rules(
    {
        nn.Linear: _LINEAR,
        nn.modules.linear.NonDynamicallyQuantizableLinear: _LINEAR,
        nn.Conv1d: _conv(1),
        nn.Conv2d: _conv(2),
        nn.Conv3d: _conv(3),
        nn.ConvTranspose1d: _transposed(1),
        nn.ConvTranspose2d: _transposed(2),
        nn.ConvTranspose3d: _transposed(3),
        nn.Embedding: Rule(
            {"weight": Form((embedding_weight,), rows=embedding_rows)},
            0,
            1,
            _plain_embedding,
        ),
        nn.LayerNorm: Rule(
            {
                "weight": normalised_scale(layer_normed, channels=False),
                "bias": positions_sum,
            },
            _normalised_axes,
            _normalised_axes,
        ),
        nn.RMSNorm: Rule(
            {"weight": normalised_scale(root_mean_square_normed, channels=False)},
            _normalised_axes,
            _normalised_axes,
        ),
        nn.GroupNorm: Rule(
            {
                "weight": normalised_scale(group_normed, channels=True),
                "bias": channels_sum,
            },
            _all_but_first,
            _all_but_first,
        ),
        nn.BatchNorm1d: _BATCH_NORM,
        nn.BatchNorm2d: _BATCH_NORM,
        nn.BatchNorm3d: _BATCH_NORM,
        Shift: Rule({"weight": shift}, own_axes, own_axes),
        Scale: Rule({"weight": scale}, own_axes, own_axes),
        Project: Rule({"weight": Form((project,), project_factors)}, 1, 0),
    }
)
"""The rules of this process; `jacengine.register_rule` adds to them."""
