from dataclasses import replace
from math import exp, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Row
from jacengine.report.peer_comparison import (
    TimeRatios,
    comparisons,
    mean_interval,
    peer_comparisons,
)
from jacengine.report.ranking import Ranking
from tests.report.build import LOSING, auto, case, library, ok, sized, timed

times = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(times, times, times), min_size=1, max_size=8))
def test_the_means_are_those_of_the_data(
    drawn: list[tuple[float, float, float]],
) -> None:
    rankings = [Ranking(each) for each in timed(drawn).cases]

    mean = prod(theirs / chosen for _, chosen, theirs in drawn) ** (1 / len(drawn))
    [peer] = peer_comparisons(rankings)
    assert peer.mean == pytest.approx(mean)
    found = comparisons(rankings)
    product = prod(each.over_strategy or 0.0 for each in found)
    assert product == pytest.approx(prod(chosen / ours for ours, chosen, _ in drawn))
    assert [each.over_library for each in found] == sorted(
        (chosen / theirs for _, chosen, theirs in drawn), reverse=True
    )


def ratios(workloads: list[list[float]]) -> TimeRatios:
    return [
        (Ranking(sized(f"w{place}", size)), ratio)
        for place, values in enumerate(workloads)
        for size, ratio in enumerate(values)
    ]


def test_the_interval_is_that_of_resampled_workloads() -> None:
    drawn = np.random.default_rng(1)
    workloads = [
        list(np.exp(drawn.normal(0.1, 0.3) + 0.01 * drawn.normal(size=size)))
        for size in drawn.integers(1, 4, 20)
    ]
    means = []
    for _ in range(4000):
        taken = [workloads[i] for i in drawn.integers(0, 20, 20)]
        logs = [log(value) for values in taken for value in values]
        means.append(exp(sum(logs) / len(logs)))

    found = mean_interval(ratios(workloads))

    assert found == pytest.approx(np.quantile(means, (0.025, 0.975)), rel=0.02)
    assert found == mean_interval(ratios(workloads))


def test_sizes_of_one_workload_are_no_sample() -> None:
    assert mean_interval(ratios([[1.0, 2.0, 3.0, 4.0]])) is None
    assert mean_interval(ratios([[1.0], [2.0]])) is None
    assert mean_interval(ratios([[2.0], [2.0], [2.0]])) == pytest.approx((2, 2))


def spread_out(row: Row, *factors: float) -> Row:
    return replace(row, times=tuple((row.time_s or 0.0) * f for f in factors))


def test_who_is_ahead_is_told_beyond_noise() -> None:
    wide = (0.7, 0.8, 1.0, 1.2, 1.3)
    found = {
        name: comparisons([Ranking(case("a", ok("fast", 1.0), ours, *theirs))])[0]
        for name, ours, theirs in (
            ("ours", auto(1.0), [library("x", 1.1)]),
            ("theirs", auto(1.1), [library("x", 1.0)]),
            ("close", auto(1.0), [library("x", 1.04)]),
            (
                "noisy",
                spread_out(auto(1.1), *wide),
                [spread_out(library("x", 1.0), *wide)],
            ),
            ("alone", auto(1.0), []),
        )
    }

    assert {name: each.ahead for name, each in found.items()} == {
        "ours": "auto",
        "theirs": "library",
        "close": "even",
        "noisy": "even",
        "alone": "",
    }


def test_outcomes_of_a_library_are_counted() -> None:
    [peer] = peer_comparisons([Ranking(each) for each in LOSING.cases])

    assert (peer.correct, peer.wrong, peer.tried) == (3, 1, 4)
    assert (peer.least, peer.most) == pytest.approx((1 / 1.5, 3.0))
