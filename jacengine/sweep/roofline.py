"""What the machine can do at best: the floor that times are compared with."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from jacengine.timing import seconds

FILLED = 2**26
"""Bytes of the buffer that is filled: more than any cache holds."""
SIDE = 1024
"""Rows and columns of the matrices that are multiplied."""
REPEATS = 7


@dataclass(frozen=True)
class Rates:
    """Rates of one device.

    Attributes:
        fill: Bytes a second that memory is filled with.
        matmul: Floating-point operations a second of a large float32 product.
    """

    fill: float
    matmul: float


def measure_rates(device: torch.device) -> Rates:
    """Fill memory that is there already, and multiply two matrices."""
    buffer = torch.empty(FILLED // 4, device=device)
    one, other = (torch.rand(SIDE, SIDE, device=device) for _ in range(2))
    product = torch.empty(SIDE, SIDE, device=device)
    fill_s = _median(lambda: buffer.fill_(1.0), device)
    matmul_s = _median(lambda: torch.mm(one, other, out=product), device)
    return Rates(FILLED / fill_s, 2 * SIDE**3 / matmul_s)


def _median(run: Callable[[], object], device: torch.device) -> float:
    run()
    return max(1e-9, statistics.median(seconds(run, device) for _ in range(REPEATS)))
