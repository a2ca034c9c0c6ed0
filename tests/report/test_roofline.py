from dataclasses import replace

import pytest

from jacengine.report.ranking import Ranking
from jacengine.report.roofline import roofline_distance
from tests.report.build import case, ok, report


@pytest.mark.parametrize(
    ("dtype", "flops", "factor", "bound"),
    [
        ("float32", 10**9, 5.0, "compute"),
        ("float32", 10**6, 50.0, "memory"),
        ("float64", 10**9, 50.0, "memory"),
        ("float32", None, 50.0, "memory"),
    ],
)
def test_the_roofline_is_the_longer_of_two_times(
    dtype: str, flops: int | None, factor: float, bound: str
) -> None:
    row = replace(ok("fast", 0.5), flops=flops)
    found = replace(case("a", row), dtype=dtype, result_bytes=10**6)
    whole = replace(report(found), fill_rate=1e8, matmul_rate=1e10)
    known = roofline_distance(whole, Ranking(found))

    assert known is not None
    assert known.factor == pytest.approx(factor)
    assert known.bound == bound


def test_without_rates_there_is_no_roofline() -> None:
    found = case("a", ok("fast", 0.5))

    assert roofline_distance(report(found), Ranking(found)) is None
