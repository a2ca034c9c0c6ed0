import math

from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Case, Row
from jacengine.report.ranking import Standing, competitors, safest, wins
from tests.report.build import case, example, ok

FIRST, SECOND, THIRD = (Standing.of(each) for each in example().cases)


def test_the_fastest_right_one_wins() -> None:
    assert FIRST.winner == ok("fast", 0.001, 4000)
    assert SECOND.winner == ok("fast", 0.010, 800)
    assert THIRD.winner == ok("picky", 0.1, 300)


def test_the_runner_up_is_another_strategy() -> None:
    assert FIRST.runner_up == ok("reverse_loop", 0.008, 500)


def test_gains_are_against_the_plain_loop() -> None:
    assert FIRST.gain == 8
    assert not FIRST.estimated
    assert THIRD.gain == 20
    assert THIRD.estimated


def test_a_wrong_baseline_is_none() -> None:
    wrong = Row("reverse_loop", "wrong", time_s=1.0)

    assert Standing.of(case("a", ok("fast", 0.1), wrong)).gain is None


def test_close_runner_up() -> None:
    assert [s.close for s in (FIRST, SECOND, THIRD)] == [False, True, False]


def test_a_strategy_counts_once() -> None:
    assert FIRST.outcomes("strategy") == {"ok": 2, "wrong": 1, "unsupported": 1}


def test_wins_and_order() -> None:
    standings = [FIRST, SECOND, THIRD]

    assert wins(standings) == [("fast", 2), ("picky", 1)]
    assert competitors(standings, "strategy") == [
        "fast",
        "picky",
        "reverse_loop",
        "broken",
    ]


def test_safest_is_right_everywhere() -> None:
    assert safest([FIRST, SECOND, THIRD]) == ("fast", 8.0, THIRD)
    assert safest([Standing.of(case("a"))]) is None


def test_times_of_zero_and_none_divide_nothing() -> None:
    standing = Standing.of(case("a", ok("b", 0.0, 1), ok("c", None), ok("d", 1.0)))

    assert standing.winner == ok("b", 0.0, 1)
    assert standing.relative(standing.runner_up) is None


rows = st.builds(
    ok,
    st.sampled_from("abc"),
    st.floats(1e-6, 10),
    st.integers(1, 10**9) | st.none(),
)


@given(st.lists(rows, max_size=8))
def test_front_is_what_nothing_beats(found: list[Row]) -> None:
    standing = Standing.of(Case("a", "", tuple(found)))

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
    assert {(row.time_s, row.memory_bytes) for row in standing.front} == figures
