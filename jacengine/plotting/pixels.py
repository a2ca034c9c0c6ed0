"""A matrix in as many pixels as one can see, without hiding its large entries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

MOST = 1024
"""Pixels along one side, at most."""
_MOST_ZEROS = 0.9
_ROBUST = 0.995
_OUTLYING = 2.0


@dataclass(frozen=True)
class Pixels:
    """What is drawn.

    Attributes:
        values: The entry of largest magnitude in each pixel.
        zeros: The share of entries that are exactly zero.
        odd: How many entries are not finite.
        limit: The magnitude at which colours end.
        clipped: Whether some entries are beyond.
    """

    values: Tensor
    zeros: float
    odd: int
    limit: float
    clipped: bool

    @property
    def sparse(self) -> bool:
        """Whether nearly all entries are exactly zero."""
        return self.zeros > _MOST_ZEROS


def pixels(matrix: Tensor, most: int = MOST) -> Pixels:
    """Pool a matrix to at most `most` pixels a side.

    The limit of the colours is a high quantile of the magnitudes where a few entries
    are far larger than the others, or else their maximum.
    """
    zeros = 1.0 - torch.count_nonzero(matrix).item() / matrix.numel()
    values, odd = _pooled(matrix, most), 0
    if not torch.isfinite(values).all():
        finite = torch.isfinite(matrix)
        odd = matrix.numel() - int(finite.sum())
        hidden = _pooled((~finite).to(matrix.dtype), most) > 0
        values = values.masked_fill(hidden, torch.nan)
    sizes = values[torch.isfinite(values) & (values != 0)].abs()
    largest = float(sizes.max()) if len(sizes) else 1.0
    usual = float(torch.quantile(sizes, _ROBUST)) if len(sizes) else 1.0
    clipped = largest > _OUTLYING * usual
    return Pixels(values, zeros, odd, usual if clipped else largest, clipped)


def _pooled(matrix: Tensor, most: int) -> Tensor:
    """Take the entry of largest magnitude, with its sign, under each pixel."""
    rows, columns = matrix.shape
    size = min(rows, most), min(columns, most)
    if size == (rows, columns):
        return matrix
    highest = adaptive_max_pool2d(matrix[None], size)[0]
    lowest = adaptive_max_pool2d(-matrix[None], size)[0]
    return torch.where(highest >= lowest, highest, -lowest)
