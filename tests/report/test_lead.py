"""The first paragraphs, compared with facts that are computed independently."""

from dataclasses import replace

from jacengine.report import Report, Row
from jacengine.report.case import COMPILED
from jacengine.report.formatting import TIMES, render_names
from jacengine.report.lead import lead
from jacengine.report.ranking import Ranking
from tests.report.build import LOSING, auto, case, example, library, ok, report, sweep


def written(found: Report) -> list[str]:
    paragraphs = lead(found, [Ranking(each) for each in found.cases])
    return [render_names(each).replace(TIMES, "x") for each in paragraphs]


def test_a_losing_sweep_in_full() -> None:
    assert written(LOSING) == [
        "This report compares methods that compute derivatives of PyTorch functions: "
        "4 Jacobians, of 3 workloads in up to 2 sizes. They were tried by 1 strategy "
        "of jacengine 0.1.0 and 1 method of other libraries, on Example 9000, 2 "
        "threads, PyTorch 2.13.0. Every result was compared with plain autograd: 11 of "
        "12 agree, and the 1 that differ are left out.",
        "jacengine.auto, which chooses a strategy by itself, takes 1.11x the time of "
        "the strategy that turned out fastest (95 % interval over workloads: 1.00 to "
        "1.50x) and 0.63x that of the fastest other library, as geometric means. Of 3 "
        "problems, another library is ahead on 1, by 1.50x; auto is ahead on 2, by "
        "2.43x (most on mlp[1]: 3.00x).",
    ]


def test_one_case() -> None:
    slower = report(case("a", ok("fast", 1.0), auto(1.0), library("torch", 0.5)))
    faster = report(case("a", ok("fast", 1.0), auto(1.0), library("torch", 2.0)))
    even = report(case("a", ok("fast", 1.0), auto(1.0), library("torch", 1.0)))

    assert written(slower)[1].endswith("torch is ahead of auto by 2.00x.")
    assert written(faster)[1].endswith("auto is ahead of torch by 2.00x.")
    assert written(even)[1].endswith("auto and torch are even, within noise.")


def test_failures_of_auto_and_compiled_times_are_stated() -> None:
    failed = Row("auto", "crash", "killed", kind="auto")
    compiled = replace(ok(COMPILED, 0.25), kind="compiled", picked="fast")
    found = report(
        case("a", ok("fast", 1.0), auto(1.0), compiled, library("torch", 0.5)),
        case("b", ok("fast", 1.0), failed),
    )

    [_, answer] = written(found)
    assert "compiled, 0.50x that" in answer
    assert "it has no result on 1 problem." in answer


def test_what_did_not_take_part_is_not_counted() -> None:
    """Opacus is not installed in the made-up sweep."""
    [what, _] = written(sweep(2))

    assert "6 strategies of jacengine 0.1.0 and 7 methods of other libraries" in what
    assert "medians of 7 rounds" in what


def test_without_auto_there_is_no_answer() -> None:
    assert len(written(example())) == 1
    assert written(report()) == []


def test_kinds_of_derivatives_are_counted() -> None:
    found = report(
        case("a", ok("fast", 1.0)),
        replace(case("b", ok("fast", 1.0)), quantity="hessian_diagonal"),
        replace(case("c", ok("fast", 1.0)), quantity="hessian_diagonal"),
    )

    assert "2 diagonals of the Hessian and 1 Jacobian." in written(found)[0]
