"""The roofline of a device: the rates that bound every computation on it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch

from jacengine.timing import time_interleaved

FILL_BYTES = 2**26
"""Bytes of the buffer that is filled: more than any cache holds."""
MATRIX_SIZE = 1024
"""Rows and columns of the matrices that are multiplied."""
REPEATS = 7


@dataclass(frozen=True)
class Roofline:
    """Rates of one device.

    Attributes:
        fill: Bytes per second that memory is filled with.
        matmul: Floating-point operations per second of a large float32 product.
    """

    fill: float
    matmul: float


def measure_roofline(device: torch.device) -> Roofline:
    """Fill an existing buffer, and multiply two matrices."""
    buffer = torch.empty(FILL_BYTES // 4, device=device)
    a, b, product = (torch.rand(MATRIX_SIZE, MATRIX_SIZE, device=device) for _ in "abc")
    runs = {
        "fill": lambda: buffer.fill_(1.0),
        "matmul": lambda: torch.mm(a, b, out=product),
    }
    times = time_interleaved(runs, device, rounds=REPEATS, warm_up_rounds=1).times
    medians = {name: max(1e-9, statistics.median(t)) for name, t in times.items()}
    return Roofline(
        FILL_BYTES / medians["fill"], 2 * MATRIX_SIZE**3 / medians["matmul"]
    )
