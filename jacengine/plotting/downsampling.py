"""Downsampling of a matrix to pixels that keeps its largest entries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

MAX_PIXELS = 1024
"""The most pixels along one side."""
_SPARSE = 0.9
_QUANTILE = 0.995
_OUTLIER = 2.0


@dataclass(frozen=True)
class Pixels:
    """A downsampled matrix.

    Attributes:
        values: The entry of largest magnitude in each pixel.
        zeros: The share of entries that are exactly zero.
        nonfinite: The number of entries that are not finite.
        limit: The magnitude at which the colour map ends.
        clipped: Whether some entries exceed it.
    """

    values: Tensor
    zeros: float
    nonfinite: int
    limit: float
    clipped: bool

    @property
    def sparse(self) -> bool:
        """Whether nearly all entries are exactly zero."""
        return self.zeros > _SPARSE


def downsample(matrix: Tensor, most: int = MAX_PIXELS) -> Pixels:
    """Pool a matrix to at most `most` pixels a side.

    The limit of the colour map is a high quantile of the magnitudes if a few entries
    are far larger than the others, or else their maximum.
    """
    zeros = 1.0 - torch.count_nonzero(matrix).item() / matrix.numel()
    values, nonfinite = _pooled(matrix, most), 0
    if not torch.isfinite(values).all():
        finite = torch.isfinite(matrix)
        nonfinite = matrix.numel() - int(finite.sum())
        hidden = _pooled((~finite).to(matrix.dtype), most) > 0
        values = values.masked_fill(hidden, torch.nan)
    sizes = values[torch.isfinite(values) & (values != 0)].abs()
    largest = float(sizes.max()) if len(sizes) else 1.0
    usual = float(torch.quantile(sizes, _QUANTILE)) if len(sizes) else 1.0
    clipped = largest > _OUTLIER * usual
    return Pixels(values, zeros, nonfinite, usual if clipped else largest, clipped)


def _pooled(matrix: Tensor, most: int) -> Tensor:
    """Take the entry of largest magnitude, with its sign, of each pixel."""
    rows, columns = matrix.shape
    size = min(rows, most), min(columns, most)
    if size == (rows, columns):
        return matrix
    highest = adaptive_max_pool2d(matrix[None], size)[0]
    lowest = adaptive_max_pool2d(-matrix[None], size)[0]
    return torch.where(highest >= lowest, highest, -lowest)
