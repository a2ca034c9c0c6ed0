"""What a report says is computed here once more, in another way."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Report, Row
from jacengine.report.formatting import TIMES, Name, Sentence, listed
from jacengine.report.ranking import Standing
from jacengine.report.sentence_verdicts import verdict
from jacengine.report.sentences import answers, headline
from tests.report.build import MACHINE, case, example, ok, report


def plain(sentence: Sentence) -> str:
    return "".join(sentence).replace(TIMES, "x")


def said(found: Report) -> list[str]:
    standings = [Standing.of(each) for each in found.cases]
    return [plain(sentence) for sentence in answers(found, standings)]


def ended(*rows: Row, failure: str = "") -> str:
    found = replace(case("a", *rows), failure=failure)
    return plain(verdict(Standing.of(found)))


def test_example_in_full() -> None:
    assert said(example()) == [
        "fast is the fastest on 2 of 3 problems and picky on 1.",
        "Against the plain loop, reverse_loop, the fastest method is 8.00x as fast "
        "in the median of 3 problems, and 20.0x at most, on third (the loop's time is "
        "extrapolated on 1).",
        "Of the strategies that are right on every problem, fast loses least in its "
        "worst case, and still takes 8.00x the time of the fastest on third.",
        "On 1 problem the runner-up is within 5 %, so that either will do: second.",
        "The fastest is also the one with the least memory on none of 3 problems; on "
        "first, reverse_loop needs 500 B, 8.00x less, at 8.00x the time.",
        "Of 12 combinations of 4 strategies with 3 problems, 7 agree with plain "
        "autograd (1 wrong, 1 unsupported, 3 not finished).",
        "Wrong results were found out and take no part: broken on first.",
    ]


def test_headlines() -> None:
    first, second, third = (Standing.of(each) for each in example().cases)

    assert headline([first, second, third]) == (
        "No method is always the fastest: 3 problems, 2 winners"
    )
    assert headline([first, second]) == "One method is the fastest on 2 problems"
    assert headline([]) == "Nothing was computed"


def test_verdicts() -> None:
    fast, loop = ok("fast", 0.001), ok("reverse_loop", 0.003)

    assert ended(fast, ok("b", 0.002), loop) == (
        "fast is the fastest: 1 ms, 2.00x as fast as b and 3.00x as fast as "
        "reverse_loop."
    )
    assert ended(fast, loop) == (
        "fast is the fastest: 1 ms, 3.00x as fast as reverse_loop."
    )
    assert ended(loop, ok("b", 0.006)) == (
        "reverse_loop is the fastest: 3 ms, 2.00x as fast as b."
    )
    assert ended(fast, ok("b", 0.00104)) == (
        "fast is the fastest: 1 ms, within noise of b."
    )
    assert ended(fast) == "fast is the fastest: 1 ms."
    assert ended(ok("a", None), ok("b", None)) == "a and b agree; nothing was timed."
    assert ended(failure="too big.") == "There is no result for a: too big."
    assert ended(Row("a", "error", "oh")) == "There is no result for a."


def test_interruption_and_failure_are_told() -> None:
    found = said(report(replace(case("a"), failure="it raised"), planned=4))

    assert found == [
        "There is no result for a: it raised.",
        "The run was interrupted: 1 of 4 problems finished.",
    ]


def test_nothing_is_said_of_nothing() -> None:
    assert said(report()) == []


@pytest.mark.parametrize(("load", "told"), [(0.9, False), (1.1, True), (None, False)])
def test_a_busy_machine_is_told(load: float | None, *, told: bool) -> None:
    found = said(report(case("a", ok("b", 1.0)), machine=replace(MACHINE, load=load)))

    assert any("busy" in sentence for sentence in found) == told


def test_names_are_told_from_words() -> None:
    found = listed([Name("a"), Name("b"), Name("c")])

    assert found == ("a", ", ", "b", " and ", "c")
    assert [part for part in found if isinstance(part, Name)] == ["a", "b", "c"]


rows = st.builds(ok, st.sampled_from("abcd"), st.floats(1e-6, 10))
cases = st.lists(st.lists(rows, min_size=1, max_size=6), min_size=1, max_size=5)


@given(cases)
def test_wins_are_those_of_the_data(drawn: list[list[Row]]) -> None:
    found = report(*(case(f"p{i}", *rows) for i, rows in enumerate(drawn)))
    sentence = answers(found, [Standing.of(each) for each in found.cases])[0]

    for name in "abcd":
        won = sum(_fastest(rows) == name for rows in drawn)
        assert _number_after(sentence, name) == won


def _fastest(rows: list[Row]) -> str:
    return min(rows, key=lambda row: row.time_s or 0.0).strategy


def _number_after(sentence: Sentence, name: str) -> int:
    """Read the first number after a name, zero if the name is not there."""
    for part, after in pairwise(sentence):
        if isinstance(part, Name) and part == name:
            found = re.search(r"\d+", after)
            assert found is not None
            return int(found[0])
    return 0
