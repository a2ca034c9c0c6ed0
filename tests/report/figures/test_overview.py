from dataclasses import replace

import pytest

from jacengine.report.figures.overview import (
    library_figure,
    regret_figure,
    roofline_distance,
    roofline_figure,
)
from jacengine.report.ranking import Ranking
from tests.report.build import case, ok, report, sweep


def test_figures_are_drawn_only_where_there_are_values() -> None:
    whole = sweep(2)
    rankings = [Ranking(each) for each in whole.cases]
    alone = [Ranking(case("a", ok("fast", 1.0)))]

    for draw in (regret_figure, library_figure):
        assert draw(rankings) is not None
        assert draw(alone) is None
    assert roofline_figure(whole, rankings) is not None
    unrated = replace(whole, fill_rate=None, matmul_rate=None)
    assert roofline_figure(unrated, alone) is None


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
    assert known[0] == pytest.approx(factor)
    assert known[1] == bound


def test_without_rates_there_is_no_roofline() -> None:
    found = case("a", ok("fast", 0.5))

    assert roofline_distance(report(found), Ranking(found)) is None
