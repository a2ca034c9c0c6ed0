from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report.peer_comparison import near_best, peer_comparisons
from jacengine.report.ranking import Ranking
from tests.report.build import LOSING, timed

times = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(times, times, times), min_size=1, max_size=8))
def test_the_mean_and_the_count_are_those_of_the_data(
    drawn: list[tuple[float, float, float]],
) -> None:
    rankings = [Ranking(each) for each in timed(drawn).cases]

    near = sum(chosen <= 1.03 * ours for ours, chosen, _ in drawn)
    assert near_best(rankings) == (near, len(drawn), "problem")
    mean = prod(theirs / chosen for _, chosen, theirs in drawn) ** (1 / len(drawn))
    [peer] = peer_comparisons(rankings)
    assert peer.mean == pytest.approx(mean)


def test_outcomes_of_a_library_are_counted() -> None:
    [peer] = peer_comparisons([Ranking(each) for each in LOSING.cases])

    assert (peer.correct, peer.wrong, peer.tried) == (3, 1, 4)
    assert (peer.least, peer.most) == pytest.approx((1 / 1.5, 3.0))
