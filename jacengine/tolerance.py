"""How much rounding is tolerated: one table, by dtype, for every comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tolerance:
    """Relative errors that rounding explains, of results in one dtype.

    Attributes:
        projection: Of an entry of `u^T J`, relative to the root of the sum of the
            squares of its terms: the rounding of the terms adds up no faster than that.
        product: Of a single number `u^T J v`, relative to the terms it is the sum of.
        compiled: Of an entry of a compiled result, relative to the largest entry of its
            block: fused operators round at other places.
        value: Of a value that is computed by other kernels, or under vmap.
        finite_difference: Of a finite difference; `None` where the dtype has too few
            digits for one.
    """

    projection: float
    product: float
    compiled: float
    value: float
    finite_difference: float | None


CANCELLATION, ELSEWHERE = 1e3, 64
"""Multiples of eps that are tolerated, of the largest entry of the same input's
projection and of all inputs': entries that cancel to almost nothing carry the rounding
of their terms."""

TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float64: Tolerance(1e-9, 1e-8, 1e-9, 1.5e-8, 1e-4),
    torch.float32: Tolerance(1e-4, 1e-3, 1e-3, 3.5e-4, 5e-2),
    torch.float16: Tolerance(1e-2, 5e-2, 5e-2, 3e-2, None),
    torch.bfloat16: Tolerance(8e-2, 5e-2, 5e-2, 9e-2, None),
}


def least_precise(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """Return the dtype with the largest machine epsilon."""
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)
