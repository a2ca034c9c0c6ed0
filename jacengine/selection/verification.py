"""Comparison of projections with the reference, and what it showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jacengine.results.result import Projection
from jacengine.tolerance import TOLERANCES

SPLIT_NOISE = 32
"""Multiples that are tolerated of what plain autograd itself differs by when the same
cotangent is pulled back in two parts: rounding that no dtype tells of (autocast)."""
CANCELLATION, ELSEWHERE = 1e3, 64
"""Multiples of eps that are tolerated, of the largest entry of the same input's
projection and of all inputs': entries that cancel to almost nothing carry the rounding
of their terms."""


@dataclass(frozen=True)
class Verification:
    """The outcome of a comparison with the reference.

    Attributes:
        right: Whether every entry agrees within the tolerance.
        error: The largest relative error.
        finite: Whether the result is finite wherever the reference is.
    """

    right: bool
    error: float
    finite: bool

    @property
    def complaint(self) -> str:
        """What is wrong, in words."""
        if not self.finite:
            return "not finite where plain autograd is"
        return f"off by {self.error:.1e} from plain autograd (relative)"


@dataclass(frozen=True)
class Expected:
    """What a projection must be.

    Attributes:
        value: Its value by plain autograd.
        scale: What the tolerance of each entry is relative to.
        floor: The error that is tolerated in any case.
    """

    value: Tensor
    scale: Tensor
    floor: Tensor | float


def compare(
    values: Sequence[Tensor], expected: Sequence[Expected], dtype: torch.dtype
) -> Verification:
    """Compare projections with what they must be, where that is finite."""
    tolerance = TOLERANCES[dtype].projection
    right, finite, worst = True, True, 0.0
    for value, wanted in zip(values, expected, strict=True):
        known = wanted.value.isfinite()
        floor = torch.as_tensor(wanted.floor, dtype=wanted.scale.dtype)
        floor = floor.expand_as(wanted.value)[known]
        got = value.to(wanted.value)[known]
        finite &= bool(got.isfinite().all())
        difference = (got - wanted.value[known]).abs()
        scale = wanted.scale[known]
        right &= bool((difference <= tolerance * scale + floor).all())
        relative = difference / (scale + floor + torch.finfo(scale.dtype).tiny)
        if relative.numel():
            worst = max(worst, float(relative.nan_to_num(nan=float("inf")).max()))
    return Verification(right and finite, worst, finite)


def largest(tensor: Tensor) -> float:
    """Return the largest finite magnitude, zero if there is none."""
    known = tensor[tensor.isfinite()].abs()
    return float(known.max()) if known.numel() else 0.0


def floors(
    projections: Sequence[Projection], noise: Sequence[float], dtype: torch.dtype
) -> list[float]:
    """Return the error that is tolerated in any case, of each group of columns.

    Args:
        projections: What is compared, with the scale of its terms.
        noise: The rounding that plain autograd shows in each group.
        dtype: The least precise dtype that is involved.
    """
    eps, tolerance = torch.finfo(dtype).eps, TOLERANCES[dtype].projection
    overall = max((largest(p.scale) for p in projections), default=0.0)
    return [
        min(CANCELLATION * eps, tolerance) * largest(p.scale)
        + SPLIT_NOISE * rounding
        + min(ELSEWHERE * eps, tolerance) * overall
        for p, rounding in zip(projections, noise, strict=True)
    ]
