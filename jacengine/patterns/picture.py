"""A sparsity pattern as a small picture of braille characters."""

from __future__ import annotations

import torch
from torch import Tensor

LINES, CHARACTERS = 12, 40
"""The size of a picture at most."""
_DOTS = torch.tensor(
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], device="cpu"
)
"""The bits of a braille character: four rows of two dots."""
_EMPTY = 0x2800


def braille(shape: tuple[int, int], rows: Tensor, columns: Tensor) -> str:
    """Draw entries of a matrix; a dot is lit if any entry falls on it."""
    m, n = shape
    if not m * n:
        return "(empty)"
    down, across = min(m, 4 * LINES), min(n, 2 * CHARACTERS)
    dots = torch.zeros(
        -(-down // 4) * 4, -(-across // 2) * 2, dtype=torch.int64, device="cpu"
    )
    dots[rows * down // m, columns * across // n] = 1
    cells = dots.unflatten(0, (-1, 4)).unflatten(2, (-1, 2)).movedim(2, 1)
    codes = (cells * _DOTS).sum((2, 3)) + _EMPTY
    return "\n".join("".join(map(chr, line)) for line in codes.tolist())
