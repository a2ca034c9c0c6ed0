"""The layers that have a rule."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from jacengine.layers import convolution, linear
from jacengine.layers.rule import BlockContraction, Form, OwnAxes, Rule, RuleRegistry


def _all_but_first(_: nn.Module, dim: int) -> int:
    return dim - 1


def _normalised_axes(layer: nn.LayerNorm | nn.RMSNorm, _: int) -> int:
    return len(layer.normalized_shape)


def _plain_embedding(layer: nn.Embedding) -> bool:
    return layer.max_norm is None and not layer.scale_grad_by_freq


def _frozen_statistics(layer: nn.Module) -> bool:
    return not layer.training and getattr(layer, "running_mean", None) is not None


def _affine(
    weight: BlockContraction | Form, bias: BlockContraction, axes: OwnAxes
) -> Rule:
    """Make the rule of a layer whose input and output have the same own axes."""
    return Rule({"weight": weight, "bias": bias}, axes, axes)


def _convolution(space: int) -> Rule:
    implementations: tuple[BlockContraction, ...] = (
        convolution.conv_by_windows,
        convolution.conv_by_groups,
    )
    if space > 1:
        implementations = (*implementations, convolution.conv_by_rows)
    weight = Form(implementations, convolution.conv_factors)
    return _affine(weight, linear.channels_sum, space + 1)


def _transposed(space: int) -> Rule:
    return _affine(convolution.transposed_weight, linear.channels_sum, space + 1)


_BY_NAME: Mapping[str, Rule] = {
    "Linear NonDynamicallyQuantizableLinear": _affine(
        Form((linear.linear_weight,), linear.linear_factors), linear.positions_sum, 1
    ),
    **{f"Conv{space}d": _convolution(space) for space in (1, 2, 3)},
    **{f"ConvTranspose{space}d": _transposed(space) for space in (1, 2, 3)},
    "Embedding": Rule(
        {"weight": Form((linear.embedding_weight,), rows=linear.embedding_rows)},
        0,
        1,
        _plain_embedding,
    ),
    "LayerNorm": _affine(
        linear.layer_norm_weight, linear.positions_sum, _normalised_axes
    ),
    "RMSNorm": Rule(
        {"weight": linear.rms_norm_weight}, _normalised_axes, _normalised_axes
    ),
    "GroupNorm": _affine(linear.group_norm_weight, linear.channels_sum, _all_but_first),
    "BatchNorm1d BatchNorm2d BatchNorm3d": Rule(
        {"weight": linear.batch_norm_weight, "bias": linear.channels_sum},
        _all_but_first,
        _all_but_first,
        _frozen_statistics,
    ),
}
"""Rules by the names of classes in `torch.nn`, of which a release may lack some."""

_BY_CLASS: dict[type[nn.Module], Rule] = {
    layer: rule
    for names, rule in _BY_NAME.items()
    for name in names.split()
    for module in (nn, nn.modules.linear)
    if (layer := getattr(module, name, None)) is not None
}
_PROJECTION = Form((linear.project,), linear.project_factors)
_OWN = linear.own_axes
RULES = RuleRegistry(
    {
        **_BY_CLASS,
        linear.Shift: Rule({"weight": linear.shift}, _OWN, _OWN),
        linear.Scale: Rule({"weight": linear.scale}, _OWN, _OWN),
        linear.Project: Rule({"weight": _PROJECTION}, 1, 0),
    }
)
"""The rules of this process; `jacengine.register_rule` adds to them."""
