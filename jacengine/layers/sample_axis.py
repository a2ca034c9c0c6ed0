"""Where the samples lie inside a network, whatever it has done to its batch.

Layers see their batch as it comes, or moved to another axis (sequence first), or merged
with positions into one axis. Which of these it is follows from cotangents: those of
some output samples reach exactly the positions of the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """How to bring the samples of a tensor to the front.

    Attributes:
        kind: `axis`: samples are axis `at`; `outer`: the first axis longer than 1 holds
            `(B, at)` merged; `inner`: it holds `(at, B)` merged; `none`: there is no
            axis of samples.
        at: The axis, or the number of positions.
    """

    kind: Literal["axis", "outer", "inner", "none"]
    at: int = 0

    def front(self, tensor: Tensor, own: int, skip: int = 0) -> Tensor:
        """Rearrange a tensor as samples, positions, and a layer's own axes.

        Args:
            tensor: `(..., *own)`, after `skip` axes that stay in front.
            own: How many trailing axes belong to the layer.
            skip: How many leading axes to leave alone.

        Returns:
            `(*skipped, S, N, *own)`.
        """
        axes = tensor.shape
        if self == _FIRST and len(axes) == skip + 1 + own:
            return tensor.unsqueeze(skip + 1)
        match self.kind:
            case "axis":
                moved = tensor.movedim(skip + self.at, skip)
            case "outer":
                merged = _without_ones(tensor, skip)
                moved = merged.unflatten(skip, (-1, self.at))
            case "inner":
                merged = _without_ones(tensor, skip)
                moved = merged.unflatten(skip, (self.at, -1)).transpose(skip, skip + 1)
            case "none":
                moved = tensor.unsqueeze(skip)
        axes = moved.shape
        positions = axes[skip + 1 : len(axes) - own].numel()
        return moved.reshape(*axes[: skip + 1], positions, *axes[len(axes) - own :])


_FIRST = Placement("axis", 0)


def placements(lead: tuple[int, ...], batch_size: int) -> Iterator[Placement]:
    """List where the samples may lie among a tensor's leading axes, likeliest first."""
    for axis, size in enumerate(lead):
        if size == batch_size:
            yield Placement("axis", axis)
    first = next((size for size in lead if size != 1), 1)
    if first > batch_size and first % batch_size == 0:
        yield Placement("outer", first // batch_size)
        yield Placement("inner", first // batch_size)


def _without_ones(tensor: Tensor, skip: int) -> Tensor:
    """Take axes of size 1 away that stand before the samples."""
    ones = 0
    while tensor.shape[skip + ones] == 1:
        ones += 1
    return tensor.flatten(skip, skip + ones) if ones else tensor


def reaches_others(
    placement: Placement, cotangent: Tensor, own: int, chosen: Tensor
) -> bool:
    """Tell whether a cotangent is nonzero outside the chosen samples' positions."""
    others = placement.front(cotangent, own)[~chosen.to(cotangent.device)]
    return bool((torch.nan_to_num(others, nan=0.0) != 0).any())
