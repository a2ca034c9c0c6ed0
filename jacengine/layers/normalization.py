"""Rules of the scales that multiply a normalised input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from jacengine.layers.linear import channels_sum, positions_sum
from jacengine.layers.rule import BlockContraction


def _scale(
    normalise: Callable[[Any, Tensor], Tensor], total: BlockContraction
) -> BlockContraction:
    """Make the rule of a scale: cotangents times normalised input, summed.

    Args:
        normalise: Normalises an input `(items, *own)` as the layer does before it
            scales.
        total: Sums over positions, and over space if the layer's own axes have any.
    """

    def weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
        normal = normalise(layer, x.flatten(0, 1)).view(x.shape)
        return total(layer, x, g * normal.unsqueeze(1), out)

    return weight


layer_norm_weight = _scale(
    lambda m, x: F.layer_norm(x, list(m.normalized_shape), eps=m.eps), positions_sum
)
rms_norm_weight = _scale(
    lambda m, x: F.rms_norm(x, list(m.normalized_shape), eps=m.eps), positions_sum
)
group_norm_weight = _scale(
    lambda m, x: F.group_norm(x, m.num_groups, eps=m.eps), channels_sum
)
batch_norm_weight = _scale(
    lambda m, x: F.batch_norm(x, m.running_mean, m.running_var, eps=m.eps),
    channels_sum,
)
"""With frozen statistics."""
