import importlib
import math
import shutil
from dataclasses import replace
from typing import NoReturn

import pytest
import torch

from jacengine import timing
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.report import Case, Row
from jacengine.selection import ranking
from jacengine.selection.candidate_result import CandidateResult
from jacengine.sweep.candidate import Candidate
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.measure import measure, time_candidates, widely_spread
from tests.sweep.fakes import FINE

LIMIT = LIMITS["quick"]


def test_auto_and_its_strategies_are_rows() -> None:
    case = _without_libraries(FINE[0])

    assert [row.kind for row in case.rows].count("auto") == 1
    assert {row.outcome for row in case.rows} == {"ok", "unsupported"}
    auto = case.rows[0]
    assert auto.picked in {row.strategy for row in case.rows if row.outcome == "ok"}
    assert case.dtype == "float32"
    assert case.result_bytes == 2 * 3 * 2 * 4
    correct = [row for row in case.rows if row.outcome == "ok"]
    assert all(row.peak_bytes for row in correct)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("compiled_s", "outcome"), [(0.5, "ok"), (2.0, "skipped")], ids=["taken", "left"]
)
def test_what_auto_takes_compiled(
    monkeypatch: pytest.MonkeyPatch, compiled_s: float, outcome: str
) -> None:
    def cost_s(result: CandidateResult) -> float:
        return compiled_s if result.compiled else 1.0

    monkeypatch.setattr(ranking, "cost_of", cost_s)
    settings = Settings(strategies=("vmap_vjp",), peers=False, compiled=True)

    case = measure(CaseSpec("one", 2), FINE[0], settings)

    [row] = [row for row in case.rows if row.kind == "compiled"]
    assert row.strategy == "auto (compiled)"
    assert row.outcome == outcome
    assert (row.picked == "vmap_vjp") == (outcome == "ok")
    assert bool(row.times) == (outcome == "ok")
    assert outcome == "ok" or "not faster" in row.notes


def test_another_precision() -> None:
    settings = Settings(strategies=("vmap_vjp",), peers=False)

    case = measure(CaseSpec("one", 2, "float64"), _linear(), settings)

    assert case.dtype == "float64"
    assert case.rows[0].outcome == "ok"


def test_nothing_fits() -> None:
    tight = Settings(peers=False, memory_budget="20B")

    case = measure(CaseSpec("one", 2), FINE[0], tight)

    assert case.failure == "the Jacobian alone needs 48 B; the budget is 20 B"
    assert case.budget_bytes == 20


def test_widely_spread_times() -> None:
    assert not widely_spread([1.0, 9.0])
    assert not widely_spread([1.0, 1.01, 0.99, 1.0, 1.0, 1.02])
    assert widely_spread([1.0, 2.0, 1.0, 3.0, 1.0, 4.0])


class Timed(Candidate):
    """Takes a known time, and fails at a given run."""

    def __init__(self, name: str, seconds: float, fails_at: float = math.inf) -> None:
        def run() -> float:
            self.runs += 1
            if self.runs == fails_at:
                raise TypeError("no more")
            return seconds

        def result(_: object) -> NoReturn:
            raise NotImplementedError

        super().__init__(Row(name, "ok"), run, result)
        self.best_s = seconds
        self.runs = 0


@pytest.fixture
def known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "seconds", lambda run, _: run())


@pytest.mark.usefixtures("known_times")
def test_slow_candidates_take_part_in_fewer_rounds() -> None:
    made = [Timed("fast", 1e-4), Timed("slow", 0.25), Timed("endless", 5.0)]

    time_candidates(made, torch.device("cpu"), LIMIT, seed=0)

    assert [candidate.runs for candidate in made] == [LIMIT.rounds, 3, 1]
    assert made[1].row.times == (0.25,) * 3
    assert made[1].row.time_s == 0.25


@pytest.mark.usefixtures("known_times")
def test_a_candidate_that_fails_in_a_round_is_out() -> None:
    made = [Timed("fine", 1e-4), Timed("fails", 1e-4, fails_at=2)]

    time_candidates(made, torch.device("cpu"), LIMIT, seed=0)

    assert [len(candidate.row.times) for candidate in made] == [LIMIT.rounds, 0]
    assert made[1].row.outcome == "error"
    assert "no more" in made[1].row.notes
    assert made[1].runs == 2


def _linear() -> Workload:
    def build(size: int) -> DerivativeSpec:
        torch.manual_seed(0)
        return DerivativeSpec(torch.nn.Linear(size, 3), (torch.ones(2, size),))

    return Workload("linear", "", "", "", (2, 3, 4), 1, build)


def _without_libraries(workload: Workload) -> Case:
    return measure(CaseSpec(workload.name, 2), workload, Settings(peers=False))


def test_a_library_that_is_missing_skips_the_case() -> None:
    def build(_: int) -> DerivativeSpec:
        importlib.import_module("jacengine_of_another_world")
        raise AssertionError

    workload = replace(_linear(), build=build)
    case = measure(CaseSpec(workload.name, 2), workload, Settings())

    assert case.skipped
    assert case.failure == "jacengine_of_another_world is not installed"
    assert not case.rows
