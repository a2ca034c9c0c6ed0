"""The race: who is left out, who wins, and that ties are settled the same way."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats

from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.effort import LIMITS, EffortLimits
from jacengine.selection.race import ALIKE_FACTOR, BRIEF_S, ENOUGH, WORTH, Race
from jacengine.selection.ranking import QUANTILES, ranking, slower
from jacengine.selection.reference import Reference
from jacengine.strategies.batched_grad import BatchedGrad
from jacengine.strategies.reverse_loop import ReverseLoop
from tests.problems import method_of, prepared

ORDER = ["reverse_loop", "batched_grad", "vmap_vjp"]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _race(clock: Clock, limits: EffortLimits = LIMITS["quick"]) -> Race:
    x = torch.ones(2)
    problem, call = prepared(torch.sin, x)
    return Race(problem, call, Reference.of(problem, call), limits, clock, budget=2**30)


def _record(strategy: str, time_s: float, **facts: Any) -> CandidateResult:
    return CandidateResult(strategy, "ok", time_s=time_s, **facts)


def test_the_fastest_comes_first() -> None:
    race = _race(Clock())
    race.running = [_record("reverse_loop", 2.0), _record("vmap_vjp", 1.0)]
    assert [r.strategy for r in ranking(race.running, ORDER)] == [
        "vmap_vjp",
        "reverse_loop",
    ]


def test_within_noise_less_memory_wins() -> None:
    race = _race(Clock())
    race.running = [
        _record("reverse_loop", 1.00, peak_bytes=500),
        _record("batched_grad", 1.02, peak_bytes=100),
        _record("vmap_vjp", 1.10, peak_bytes=1),
    ]
    assert [r.strategy for r in ranking(race.running, ORDER)] == [
        "batched_grad",
        "reverse_loop",
        "vmap_vjp",
    ]


def test_then_the_registered_order() -> None:
    race = _race(Clock())
    race.running = [
        _record("vmap_vjp", 1.00, peak_bytes=100),
        _record("reverse_loop", 1.02, peak_bytes=100),
    ]
    assert ranking(race.running, ORDER)[0].strategy == "reverse_loop"


def test_time_that_is_spent_stops_the_entering() -> None:
    clock = Clock()
    race = _race(clock)
    assert race.reason_to_skip(1.0) is None
    race.running = [_record("reverse_loop", 2 * BRIEF_S)] * ENOUGH
    assert race.reason_to_skip(1.0) is None
    clock.now = 10.0
    assert "time for the selection was spent" in str(race.reason_to_skip(1.0))
    # What takes no time is tried all the same.
    race.running = [_record("reverse_loop", BRIEF_S / 2)]
    assert race.reason_to_skip(1.0) is None


def test_what_captures_the_function_is_tried_where_that_pays() -> None:
    clock = Clock()
    race = _race(clock)
    race.running = [_record("reverse_loop", 0.001)] * ENOUGH
    assert race.reason_to_skip(1.0) is None
    assert "to capture the function takes 300 ms" in str(race.reason_to_skip(1.0, 0.3))
    clock.now = 10.0  # the time is spent, but a call is long
    race.running = [_record("reverse_loop", 0.3 / WORTH)] * ENOUGH
    assert race.reason_to_skip(1.0, 0.3) is None
    race.running = [_record("reverse_loop", 0.2 / WORTH)] * ENOUGH
    assert race.reason_to_skip(1.0, 0.3) is not None


def test_a_few_whose_arithmetic_is_alike_are_tried_in_any_case() -> None:
    clock = Clock()
    race = _race(clock)
    race._cheapest = 1.0
    race.running = [_record("reverse_loop", 2 * BRIEF_S)] * (ENOUGH - 1)
    clock.now = 10.0
    assert race.reason_to_skip(ALIKE_FACTOR) is None
    assert "was spent" in str(race.reason_to_skip(1.01 * ALIKE_FACTOR))


def test_a_slow_winner_buys_more_time() -> None:
    clock = Clock()
    race = _race(clock)
    race.running = [_record("reverse_loop", 1.0)]
    clock.now = 0.9 * LIMITS["quick"].factor
    assert race.reason_to_skip(float("nan")) is None


def test_an_unpromising_forecast_is_not_run() -> None:
    race = _race(Clock())
    race.running = [_record("reverse_loop", 0.01)]
    race.enter(CandidateResult("vmap_vjp", "ok", forecast_s=1.0), 1.0)
    (out,) = race.out
    assert (out.outcome, out.runs) == ("skipped", 0)
    assert "forecast to take 1 s" in out.reason


def test_without_timing_the_first_right_one_is_taken() -> None:
    race = _race(Clock(), LIMITS["none"])
    race.running = [CandidateResult("reverse_loop", "ok")]
    assert "a right method was found" in str(race.reason_to_skip(0.0))


@pytest.mark.parametrize(
    ("times", "leader", "expected"),
    [
        ((1.10, 1.11, 1.12), (1.0, 1.0, 1.0), True),
        ((1.10, 0.95, 1.02), (1.0, 1.0, 1.0), False),
        ((1.0, 2.2, 4.4), (0.9, 2.0, 4.0), True),  # the machine slows, both alike
        ((9.0, 9.0), (1.0, 1.0), False),  # too few rounds
        ((0.0,) * 5, (0.0,) * 5, False),  # a clock that does not move
        ((1.01,) * 40, (1.0,) * 40, True),
    ],
)
def test_slower_with_confidence(
    times: tuple[float, ...], leader: tuple[float, ...], expected: bool
) -> None:
    assert slower(times, leader) is expected


def test_the_quantiles_of_students_t() -> None:
    found = [stats.t.ppf(0.95, dof + 1) for dof in range(len(QUANTILES))]
    assert list(QUANTILES) == pytest.approx(found, abs=6e-4)


def test_who_was_left_out_by_mistake_runs_at_the_end() -> None:
    race = _race(Clock())
    problem, call = race.problem, race.bound
    method = method_of(problem, call, BatchedGrad())
    slow = replace(method_of(problem, call, ReverseLoop()), chunk_size=1)
    race.running = [_record("reverse_loop", 9.0, method=slow, times=(9.0,) * 3)]
    left = CandidateResult("batched_grad", "skipped", method=method, forecast_s=8.0)
    never = CandidateResult("vmap_vjp", "skipped", method=method, forecast_s=10.0)
    race.out = [left, never]
    race._enter_left_out()
    assert {result.strategy for result in race.running} == {
        "reverse_loop",
        "batched_grad",
    }
    assert race.out == [never]
