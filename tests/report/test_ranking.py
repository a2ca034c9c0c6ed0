import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Case, Row
from jacengine.report.ranking import Ranking, competitors, most_robust, wins
from tests.report.build import case, example, ok, sweep

FIRST, SECOND, THIRD = (Ranking(each) for each in example().cases)


def test_the_fastest_verified_row_wins() -> None:
    assert FIRST.winner == ok("fast", 0.001, 4000)
    assert SECOND.winner == ok("fast", 0.010, 800)
    assert THIRD.winner == ok("picky", 0.1, 300)


def test_the_runner_up_is_another_strategy() -> None:
    assert FIRST.runner_up == ok("reverse_loop", 0.008, 500)


def test_speedups_are_relative_to_the_plain_loop() -> None:
    assert FIRST.speedup == 8
    assert not FIRST.extrapolated
    assert THIRD.speedup == 20
    assert THIRD.extrapolated


def test_a_wrong_baseline_gives_no_speedup() -> None:
    wrong = Row("reverse_loop", "wrong", time_s=1.0)

    assert Ranking(case("a", ok("fast", 0.1), wrong)).speedup is None


def test_close_runner_up() -> None:
    assert [s.close for s in (FIRST, SECOND, THIRD)] == [False, True, False]


def test_noise_is_determined_from_the_rounds() -> None:
    def rounds(name: str, *times: float) -> Row:
        return replace(ok(name, sorted(times)[len(times) // 2]), times=times)

    clear = Ranking(case("a", rounds("a", 1.0, 1.01, 1.02), rounds("b", 2, 2, 2)))
    noisy = Ranking(case("a", rounds("a", 1.0, 1.5, 2.0), rounds("b", 1, 1.7, 2)))

    assert not clear.within_noise
    assert noisy.within_noise
    assert not noisy.close


def test_a_strategy_counts_once() -> None:
    assert FIRST.outcomes("strategy") == {"ok": 2, "wrong": 1, "unsupported": 1}


def test_kinds_are_counted_separately() -> None:
    rankings = [Ranking(each) for each in sweep().cases]

    for ranking in rankings:
        assert ranking.auto is not None
        assert "auto" not in {row.strategy for row in ranking.ranked}
        assert ranking.outcomes("strategy").total() == 6
        assert ranking.outcomes("library").total() == 8
        assert ranking.outcomes("auto").total() == 1


def test_wins_and_order() -> None:
    rankings = [FIRST, SECOND, THIRD]

    assert wins(rankings) == [("fast", 2), ("picky", 1)]
    assert competitors(rankings, "strategy") == [
        "fast",
        "picky",
        "reverse_loop",
        "broken",
    ]


def test_the_most_robust_strategy_is_correct_everywhere() -> None:
    assert most_robust([FIRST, SECOND, THIRD]) == (8.0, "fast", THIRD)
    assert most_robust([Ranking(case("a"))]) is None


def test_times_of_zero_and_none_give_no_ratio() -> None:
    ranking = Ranking(case("a", ok("b", 0.0, 1), ok("c", None), ok("d", 1.0)))

    assert ranking.winner == ok("b", 0.0, 1)
    assert ranking.relative_time(ranking.runner_up) is None


rows = st.builds(
    ok,
    st.sampled_from("abc"),
    st.floats(1e-6, 10),
    st.integers(1, 10**9) | st.none(),
)


@given(st.lists(rows, max_size=8))
def test_pareto_front_is_what_no_row_beats(found: list[Row]) -> None:
    ranking = Ranking(Case("a", "", tuple(found)))

    def beats(a: Row, b: Row) -> bool:
        pairs = [
            (a.time_s or math.nan, b.time_s or math.nan),
            (a.memory_bytes or math.nan, b.memory_bytes or math.nan),
        ]
        no_worse = all(x <= y for x, y in pairs)
        return no_worse and any(x < y for x, y in pairs)

    known = [row for row in found if row.memory_bytes is not None]
    unbeaten = [b for b in known if not any(beats(a, b) for a in known)]
    figures = {(row.time_s, row.memory_bytes) for row in unbeaten}
    assert {(row.time_s, row.memory_bytes) for row in ranking.pareto_front} == figures
