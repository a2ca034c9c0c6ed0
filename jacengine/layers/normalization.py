"""Rules of the scales that multiply a normalised input."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from jacengine._torch_private import BatchNorm
from jacengine.layers.linear import channels_sum, positions_sum
from jacengine.layers.rule import Contract


def normalised_scale(
    normalise: Callable[[nn.Module, Tensor], Tensor], *, channels: bool
) -> Contract:
    """Make the rule of a scale: cotangents times normalised input, summed.

    Args:
        normalise: Normalises the input `(items, *own)`.
        channels: Whether the layer's own axes are channels and space.
    """

    def weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
        normal = normalise(layer, x.flatten(0, 1)).view(x.shape)
        product = g * normal.unsqueeze(1)
        if channels:
            return channels_sum(layer, x, product, out)
        return positions_sum(layer, x, product, out)

    return weight


def layer_normed(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise as `LayerNorm` does before it scales."""
    assert isinstance(layer, nn.LayerNorm)
    return F.layer_norm(x, list(layer.normalized_shape), None, None, layer.eps)


def root_mean_square_normed(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise as `RMSNorm` does before it scales."""
    assert isinstance(layer, nn.RMSNorm)
    return F.rms_norm(x, list(layer.normalized_shape), None, layer.eps)


def group_normed(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise as `GroupNorm` does before it scales."""
    assert isinstance(layer, nn.GroupNorm)
    return F.group_norm(x, layer.num_groups, None, None, layer.eps)


def batch_normed(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise as `BatchNorm` with frozen statistics does before it scales."""
    assert isinstance(layer, BatchNorm)
    mean, variance = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, variance, None, None, training=False, eps=layer.eps)
