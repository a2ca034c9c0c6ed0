"""What verifying a result showed, and how much rounding is forgiven."""

from __future__ import annotations

from dataclasses import dataclass

import torch

TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 8e-2,
}
"""Error that an entry of `u^T J` may have, relative to the root of the sum of the
squares of its terms: the terms' own rounding adds up no faster than that."""
NOISE = 32
"""... and multiples of what plain autograd itself differs by when the same cotangent is
pulled back in two parts, which shows rounding that no dtype tells of (autocast)."""
CANCELLED, ELSEWHERE = 1e3, 64
"""... and multiples of eps of the largest entry of the same input's projection, and of
all inputs': entries that cancel to almost nothing carry the rounding of their terms."""


@dataclass(frozen=True)
class Verification:
    """What a projection showed.

    Attributes:
        right: Whether every entry agrees within the tolerance.
        error: The largest relative error.
        finite: Whether J is finite wherever the truth is.
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
