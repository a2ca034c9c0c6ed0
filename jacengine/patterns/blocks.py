"""Block structure: matrices whose nonzeros are in full blocks, as those of systems.

All blocks are full just if neighbouring rows of a block have their entries in the same
columns, and neighbouring columns in the same rows. So rows and columns are looked at
apart: the size of a block is the greatest common divisor of the places where a row is
another than the one above it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def common_size(starts: Tensor, columns: Tensor) -> int:
    """Return the largest size of aligned groups of rows with the same entries.

    Args:
        starts: The number of entries before each row, and of all.
        columns: The column of each entry, sorted by row and column.
    """
    counts = starts.diff()
    count = counts.numel()
    above = torch.cat([counts.new_full((1,), -1), counts[:-1]])
    differs = counts != above
    row = torch.arange(count, device="cpu").repeat_interleave(counts)
    entry = (~differs[row]).nonzero().flatten()
    row = row[entry]
    moved = columns[entry] != columns[entry - counts[row]]
    differs[row[moved]] = True
    places = differs.nonzero().flatten().numpy()
    return math.gcd(count, int(np.gcd.reduce(places)))
