"""The sentences of a report, compared with facts that are computed independently."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Report, Row
from jacengine.report.case import COMPILED
from jacengine.report.formatting import TIMES, name, render_names
from jacengine.report.ranking import Ranking
from jacengine.report.sentences import ranking_sentence, report_sentences
from tests.report.build import (
    LOSING,
    MACHINE,
    auto,
    case,
    example,
    library,
    ok,
    report,
    sweep,
    timed,
    without,
)


def plain(sentence: str) -> str:
    return render_names(sentence).replace(TIMES, "x")


def sentences_of(found: Report) -> list[str]:
    rankings = [Ranking(each) for each in found.cases]
    return [plain(sentence) for sentence in report_sentences(found, rankings)]


def ended(*rows: Row, failure: str = "") -> str:
    found = replace(case("a", *rows), failure=failure)
    return plain(ranking_sentence(Ranking(found)))


def test_example_in_full() -> None:
    assert sentences_of(example()) == [
        "fast is the fastest on 2 of 3 problems and picky on 1.",
        "Against the plain loop, reverse_loop, the fastest method is 8.00x as fast "
        "in the median of 3 problems, and 20.0x at most, on third (the loop's time is "
        "extrapolated on 1).",
        "Of the strategies that are correct on every problem, fast loses least in its "
        "worst case, and still takes 8.00x the time of the fastest on third.",
        "On 1 problem the runner-up is within 5 %, so that either will do: second.",
        "The fastest is also the one with the least memory on none of 3 problems; on "
        "first, reverse_loop needs 500 B, 8.00x less, at 8.00x the time.",
        "Of 12 combinations of 4 strategies with 3 problems, 7 agree with plain "
        "autograd (1 wrong, 1 unsupported, 3 not finished).",
        "Wrong results were detected and excluded: broken on first.",
    ]


def test_sentences_of_one_case() -> None:
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


def test_interruption_and_failure_are_stated() -> None:
    found = sentences_of(report(replace(case("a"), failure="it raised"), planned=4))

    assert found == [
        "There is no result for a: it raised.",
        "The run was interrupted: 1 of 4 problems finished.",
    ]


def test_an_empty_report_has_no_sentences() -> None:
    assert sentences_of(report()) == []


@pytest.mark.parametrize(("load", "busy"), [(0.9, False), (1.1, True), (None, False)])
def test_a_busy_machine_is_reported(load: float | None, *, busy: bool) -> None:
    found = sentences_of(
        report(case("a", ok("b", 1.0)), machine=replace(MACHINE, load=load))
    )

    assert any("busy" in sentence for sentence in found) == busy


rows = st.builds(ok, st.sampled_from("abcd"), st.floats(1e-6, 10))


cases = st.lists(st.lists(rows, min_size=1, max_size=6), min_size=1, max_size=5)


@given(cases)
def test_wins_are_those_of_the_data(drawn: list[list[Row]]) -> None:
    found = report(*(case(f"p{i}", *rows) for i, rows in enumerate(drawn)))
    sentence = report_sentences(found, [Ranking(each) for each in found.cases])[0]

    for method in "abcd":
        won = sum(_fastest(rows) == method for rows in drawn)
        assert _number_after(sentence, method) == won


def _fastest(rows: list[Row]) -> str:
    return min(rows, key=lambda row: row.time_s or 0.0).strategy


def _number_after(sentence: str, method: str) -> int:
    """Read the first number after a name, zero if the name is missing."""
    found = re.search(rf"{name(method)}[^\x02]*?(\d+)", sentence)
    return int(found[1]) if found else 0


def test_a_losing_sweep_in_full() -> None:
    assert sentences_of(LOSING)[:2] == [
        "The choice of auto costs most on conv[1]: 1.50x the time of fast.",
        "On 1 problem no other library finished with a correct result: lstm[1].",
    ]
    caught = "Wrong results of other libraries were detected and excluded: "
    assert f"{caught}torch on lstm[1]." in sentences_of(LOSING)


def test_speedup_of_compiling() -> None:
    def compiled(time_s: float) -> Row:
        return replace(ok(COMPILED, time_s), kind="compiled", picked="fast")

    out = Row(COMPILED, "unsupported", "branches", kind="compiled")
    found = report(
        case("a", ok("fast", 4.0), auto(4.0), compiled(1.0), library("torch", 2.0)),
        case("b", ok("fast", 1.0), auto(1.0), compiled(1.0), library("torch", 0.5)),
        case("c", ok("fast", 1.0), auto(1.0), out),
    )

    assert (
        "Compiled, auto is faster still on 2 of 3 problems, by 2.00x as a geometric "
        "mean."
    ) in sentences_of(found)
    first = Ranking(found.cases[0])
    assert first.winner is not None
    assert first.winner.kind == "compiled"
    assert "Compiled" not in " ".join(sentences_of(LOSING))


def test_a_cost_within_noise_is_not_reported() -> None:
    assert "costs most" not in " ".join(sentences_of(timed([(1.0, 1.04, 2.0)])))
    assert "costs most" in " ".join(sentences_of(timed([(1.0, 1.06, 2.0)])))


def test_a_failure_of_auto_is_reported() -> None:
    failed = Row("auto", "crash", "killed", kind="auto")
    found = report(
        case("a", ok("fast", 1.0), auto(1.0)), case("b", ok("fast", 1.0), failed)
    )

    assert "auto has no result on 1 problem: b." in sentences_of(found)


@pytest.mark.parametrize("wanted", ["auto", "library", "neither"])
def test_without_auto_or_libraries_no_sentence_mentions_them(wanted: str) -> None:
    text = " ".join(sentences_of(without(sweep(3), wanted))).replace("autograd", "")
    assert ("auto" in text) == (wanted != "auto")
    assert ("other librar" in text) == (wanted != "library")
