"""How far a time is from the least that the hardware allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jacengine.report.case import Report
from jacengine.report.ranking import Standing

Bound = Literal["memory", "arithmetic"]


@dataclass(frozen=True)
class Distance:
    """A time as a multiple of its floor.

    The floor is the longer of two times: to fill the bytes of J, and to do the method's
    arithmetic as fast as one large matrix product. Small operations never reach that
    rate, and a call has its latency: one cannot always come near.

    Attributes:
        factor: The time over the floor.
        floor_s: The floor.
        bound: Which of the two it is.
    """

    factor: float
    floor_s: float
    bound: Bound


def distance(report: Report, standing: Standing) -> Distance | None:
    """Measure how far `auto`, or else the winner, is from its floor.

    The rate of arithmetic is that of float32; for other dtypes only memory counts.
    """
    row = standing.best("auto") or standing.winner
    if row is None or not row.time_s:
        return None
    fill_s = product_s = 0.0
    if report.fill_rate and standing.case.result_bytes:
        fill_s = standing.case.result_bytes / report.fill_rate
    if report.matmul_rate and row.flops and standing.case.dtype in {"", "float32"}:
        product_s = row.flops / report.matmul_rate
    floor_s = max(fill_s, product_s)
    if not floor_s:
        return None
    bound: Bound = "memory" if fill_s >= product_s else "arithmetic"
    return Distance(row.time_s / floor_s, floor_s, bound)
