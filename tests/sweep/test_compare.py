import numpy as np
import pytest

from jacengine.report import Case
from jacengine.sweep.compare import (
    Difference,
    common_cases,
    compare,
    confidence_interval,
)
from tests.sweep.build import case, report, row


def times(scale: float, spread: float = 0.02, seed: int = 0) -> list[float]:
    drawn = np.random.default_rng(seed).normal(1, spread, size=25)
    return [float(scale * value) for value in drawn]


def only(before: Case, after: Case) -> Difference:
    [found] = compare(report(before), report(after))
    return found


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.5, "regressed"), (1.0, "same"), (0.6, "improved"), (1.1, "unclear")],
)
def test_known_changes(factor: float, verdict: str) -> None:
    found = only(
        case("one/2", row("a", times(1e-3))),
        case("one/2", row("a", times(factor * 1e-3, seed=1))),
    )

    assert found.verdict == verdict
    assert found.ratio == pytest.approx(factor, rel=0.05)


def test_noise_is_unclear() -> None:
    found = only(
        case("one/2", row("a", times(1e-3, 0.5)[:5])),
        case("one/2", row("a", times(1.2e-3, 0.5, seed=1)[:5])),
    )

    assert found.verdict == "unclear"


def test_few_times_are_unclear() -> None:
    found = only(case("one/2", row("a", [1.0])), case("one/2", row("a", [9.0])))

    assert found.verdict == "unclear"
    assert found.low is None


def test_the_interval_holds_the_ratio() -> None:
    low, high = confidence_interval(times(1.0), times(2.0, seed=1))

    assert low < 2 < high
    assert high - low < 0.2


def test_the_same_times_give_the_same_interval() -> None:
    assert confidence_interval(times(1.0), times(2.0)) == confidence_interval(
        times(1.0), times(2.0)
    )


def test_zero_times_have_an_interval() -> None:
    low, high = confidence_interval([0.0] * 5, [0.0] * 5)

    assert low == high == 0


def test_memory_has_no_noise() -> None:
    found = compare(
        report(case("one/2", row("a", times(1.0), peak_bytes=1000))),
        report(case("one/2", row("a", times(1.0), peak_bytes=1100))),
        memory=0.05,
    )

    assert [(d.quantity, d.verdict) for d in found] == [
        ("time", "same"),
        ("memory", "regressed"),
    ]


def test_what_became_wrong_has_regressed() -> None:
    correct, wrong = row("a", times(1.0)), row("a", outcome="wrong")

    assert only(case("one/2", correct), case("one/2", wrong)).verdict == "regressed"
    assert only(case("one/2", wrong), case("one/2", correct)).verdict == "unclear"


def test_a_case_that_fails_now_has_regressed() -> None:
    before = case("one/2", row("a", times(1.0)), row("b", [1.0], kind="library"))

    found = only(before, case("one/2", failure="crash"))

    assert (found.candidate, found.verdict, found.new) == ("a", "regressed", None)


def test_libraries_of_one_name_are_not_strategies() -> None:
    before = case("one/2", row("a", times(1.0)))
    after = case("one/2", row("a", times(1.0), kind="library"))

    assert compare(report(before), report(after)) == []


def test_only_common_cases_count() -> None:
    one, two = report(case("one/2"), case("two/2")), report(case("two/2"))

    assert common_cases(one, two) == 1
    assert common_cases(one, report()) == 0
