"""The roofline: the least time that the hardware allows for a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jacengine.report.case import Report
from jacengine.report.ranking import Ranking


@dataclass(frozen=True)
class RooflineDistance:
    """A time as a multiple of its roofline.

    The roofline is the longer of two times: writing the bytes of the result at the fill
    rate, and the method's arithmetic at the rate of one large matrix product. Small
    operations never attain that rate, and each call has a latency.

    Attributes:
        factor: The time over the roofline.
        bound: The resource that sets the roofline.
    """

    factor: float
    bound: Literal["memory", "compute"]


def roofline_distance(report: Report, ranking: Ranking) -> RooflineDistance | None:
    """Divide the time of `auto`, or else the winner, by its roofline.

    The measured rate of arithmetic is that of float32; for other dtypes only memory
    counts.
    """
    row = ranking.best("auto") or ranking.winner
    if row is None or not row.time_s:
        return None
    memory_s = compute_s = 0.0
    if report.fill_rate and ranking.case.result_bytes:
        memory_s = ranking.case.result_bytes / report.fill_rate
    if report.matmul_rate and row.flops and ranking.case.dtype in {"", "float32"}:
        compute_s = row.flops / report.matmul_rate
    least_s = max(memory_s, compute_s)
    if not least_s:
        return None
    bound: Literal["memory", "compute"] = (
        "memory" if memory_s >= compute_s else "compute"
    )
    return RooflineDistance(row.time_s / least_s, bound)
