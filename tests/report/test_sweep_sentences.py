"""What a report says of `auto` and other libraries, computed once more."""

import re
from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacengine.report import Case, Report, Row
from jacengine.report.case import COMPILED
from jacengine.report.formatting import TIMES
from jacengine.report.key_figures import numbers
from jacengine.report.peer_comparison import regrets, rivals
from jacengine.report.ranking import Standing
from jacengine.report.sentences import answers, headline
from jacengine.report.sentences_auto import within
from tests.report.build import case, ok, report, sweep


def auto(time_s: float) -> Row:
    return replace(ok("auto", time_s), kind="auto", picked="fast")


def library(name: str, time_s: float) -> Row:
    return replace(ok(name, time_s), kind="library")


def sized(workload: str, size: int, *rows: Row) -> Case:
    found = case(f"{workload}[{size}]", *rows)
    return replace(found, workload=workload, size=size, parameter="samples")


def said(found: Report) -> list[str]:
    standings = [Standing.of(each) for each in found.cases]
    return ["".join(part).replace(TIMES, "x") for part in answers(found, standings)]


LOSING = report(
    sized("mlp", 1, ok("fast", 1.0), auto(1.0), library("torch", 3.0)),
    sized("mlp", 10, ok("fast", 10.0), auto(10.2), library("torch", 20.0)),
    sized("conv", 1, ok("fast", 1.0), auto(1.5), library("torch", 1.0)),
    sized("lstm", 1, ok("fast", 1.0), auto(1.0), Row("torch", "wrong", kind="library")),
)


def test_a_losing_sweep_in_full() -> None:
    assert said(LOSING)[:3] == [
        "On 2 of 3 workloads auto is within 3 % of the best strategy at every size "
        "(3 of 4 problems); it loses most on conv[1], 1.50x the time of fast.",
        "auto beats the fastest other library by a geometric mean of 1.58x over 3 "
        "problems; it is slower on 1, most on conv[1], where it takes 1.50x the time "
        "of torch.",
        "On 1 problem no other library finished with a right result: lstm[1].",
    ]
    caught = "Wrong results of other libraries were found out and take no part: "
    assert f"{caught}torch on lstm[1]." in said(LOSING)
    standings = [Standing.of(each) for each in LOSING.cases]
    assert headline(standings) == (
        f"auto is within 3 % of the best strategy on 2 of 3 workloads, and 1.58{TIMES} "
        "as fast as the best other library"
    )


def test_what_compiling_gains() -> None:
    def compiled(time_s: float) -> Row:
        return replace(ok(COMPILED, time_s), kind="compiled", picked="fast")

    out = Row(COMPILED, "unsupported", "branches", kind="compiled")
    found = report(
        case("a", ok("fast", 4.0), auto(4.0), compiled(1.0), library("torch", 2.0)),
        case("b", ok("fast", 1.0), auto(1.0), compiled(1.0), library("torch", 0.5)),
        case("c", ok("fast", 1.0), auto(1.0), out),
    )

    assert (
        "Compiled, it is faster still on 2 of 3 problems, by 2.00x as a geometric "
        "mean. auto (compiled) is as fast as the fastest other library, as a geometric "
        "mean over 2 problems; it is slower on 1, most on b, where it takes 2.00x the "
        "time of torch."
    ) in said(found)
    first = Standing.of(found.cases[0])
    assert first.winner is not None
    assert first.winner.kind == "compiled"
    assert "Compiled" not in " ".join(said(LOSING))


def test_where_auto_is_slower_nothing_else_is_said() -> None:
    found = report(case("a", ok("fast", 1.0), auto(1.0), library("torch", 0.5)))

    sentences = said(found)
    assert sentences[0].startswith("On 1 of 1 problem auto is within 3 %")
    assert sentences[1].startswith(
        "auto takes 2.00x the time of the fastest other library, as a geometric mean"
    )
    assert "as fast as the best" not in headline([Standing.of(found.cases[0])])


def test_a_failure_of_auto_is_a_loss_and_is_told() -> None:
    failed = Row("auto", "crash", "killed", kind="auto")
    found = report(
        case("a", ok("fast", 1.0), auto(1.0)), case("b", ok("fast", 1.0), failed)
    )

    assert said(found)[0].startswith("On 1 of 2 problems auto is within")
    assert "auto has no result on 1 problem: b." in said(found)


@pytest.mark.parametrize("wanted", ["auto", "library", "neither"])
def test_without_auto_or_libraries_nothing_is_said_of_them(wanted: str) -> None:
    found = sweep(3)
    rest = replace(
        found,
        cases=tuple(
            replace(each, rows=tuple(r for r in each.rows if r.kind != wanted))
            for each in found.cases
        ),
    )

    text = " ".join(said(rest)).replace("autograd", "")
    assert ("auto" in text) == (wanted != "auto")
    assert ("fastest other library" in text) == (wanted == "neither")
    assert ("other librar" in text) == (wanted != "library")
    values = [text for _, text in numbers([Standing.of(c) for c in rest.cases])]
    assert any("other library" in text for text in values) == (wanted == "neither")


times = st.floats(1e-3, 1e3)


@given(st.lists(st.tuples(times, times, times), min_size=1, max_size=8))
def test_the_mean_and_the_count_are_those_of_the_data(
    drawn: list[tuple[float, float, float]],
) -> None:
    found = report(
        *(
            case(f"p{i}", ok("fast", ours), auto(chosen), library("torch", theirs))
            for i, (ours, chosen, theirs) in enumerate(drawn)
        )
    )
    standings = [Standing.of(each) for each in found.cases]

    near = sum(chosen <= 1.03 * ours for ours, chosen, _ in drawn)
    assert within(standings, regrets(standings)) == (near, len(drawn), "problem")
    mean = prod(theirs / chosen for _, chosen, theirs in drawn) ** (1 / len(drawn))
    [rival] = rivals(standings)
    assert rival.mean == pytest.approx(mean)
    [sentence] = [text for text in said(found) if "fastest other library" in text]
    told = re.search(r"([\d,.]+)x", sentence)
    if mean > 1.04 or mean < 0.96:
        assert told is not None
        shown = float(told[1].replace(",", ""))
        assert shown == pytest.approx(max(mean, 1 / mean), rel=0.01)
        assert ("beats" in sentence) == (mean > 1)


def test_the_sweep_counts_its_kinds_apart() -> None:
    standings = [Standing.of(each) for each in sweep().cases]

    for standing in standings:
        assert standing.auto is not None
        assert "auto" not in {row.strategy for row in standing.ranked}
        assert standing.outcomes("strategy").total() == 6
        assert standing.outcomes("library").total() == 8
        assert standing.outcomes("auto").total() == 1
