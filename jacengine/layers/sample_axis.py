"""The sample axis inside a network, wherever the network has moved its batch.

Layers get their batch as it is, or moved to another axis (sequence first), or merged
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
class SampleAxis:
    """Where the samples of a tensor are.

    Attributes:
        kind: `axis`: samples are axis `at`; `outer`: the first axis longer than 1 holds
            `(B, at)` merged; `inner`: it holds `(at, B)` merged; `none`: there is no
            sample axis.
        at: The axis, or the number of positions.
    """

    kind: Literal["axis", "outer", "inner", "none"]
    at: int = 0

    def samples_first(self, tensor: Tensor, own: int, skip: int = 0) -> Tensor:
        """Rearrange `(*skipped, ..., *own)` as `(*skipped, S, N, *own)`.

        Args:
            tensor: The tensor; N counts positions.
            own: The number of trailing axes that belong to the layer.
            skip: The number of leading axes to leave alone.
        """
        axes = tensor.shape
        if self == _FIRST and len(axes) == skip + 1 + own:
            return tensor.unsqueeze(skip + 1)
        match self.kind:
            case "axis":
                moved = tensor.movedim(skip + self.at, skip)
            case "outer":
                merged = _without_leading_ones(tensor, skip)
                moved = merged.unflatten(skip, (-1, self.at))
            case "inner":
                merged = _without_leading_ones(tensor, skip)
                moved = merged.unflatten(skip, (self.at, -1)).transpose(skip, skip + 1)
            case "none":
                moved = tensor.unsqueeze(skip)
        axes = moved.shape
        positions = axes[skip + 1 : len(axes) - own].numel()
        return moved.reshape(*axes[: skip + 1], positions, *axes[len(axes) - own :])


_FIRST = SampleAxis("axis", 0)


def candidate_axes(lead: tuple[int, ...], batch_size: int) -> Iterator[SampleAxis]:
    """List where samples may be among a tensor's leading axes, likeliest first."""
    for axis, size in enumerate(lead):
        if size == batch_size:
            yield SampleAxis("axis", axis)
    first = next((size for size in lead if size != 1), 1)
    if first > batch_size and first % batch_size == 0:
        yield SampleAxis("outer", first // batch_size)
        yield SampleAxis("inner", first // batch_size)


def _without_leading_ones(tensor: Tensor, skip: int) -> Tensor:
    ones = 0
    while tensor.shape[skip + ones] == 1:
        ones += 1
    return tensor.flatten(skip, skip + ones) if ones else tensor


def reaches_other_samples(
    sample_axis: SampleAxis, cotangent: Tensor, own: int, chosen: Tensor
) -> bool:
    """Tell whether a cotangent is nonzero outside the chosen samples' positions."""
    front = sample_axis.samples_first(cotangent, own)
    others = front[~chosen.to(cotangent.device)]
    return bool((torch.nan_to_num(others, nan=0.0) != 0).any())
