import math
import shutil
import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from jacengine.bench.baselines import Baseline, Prepared
from jacengine.bench.workload import DerivativeSpec as Question
from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError
from jacengine.report import Case, Row
from jacengine.selection import compiled_variants
from jacengine.sweep import candidate_registry, library
from jacengine.sweep.candidate_registry import Roster
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.deadline import DeadlineError, deadline
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.measure import measure
from jacengine.sweep.rounds import interleaved, loose
from tests.sweep.fakes import FINE, fine

J = torch.func.vmap(torch.func.jacrev(lambda x: fine(2).fn(x)))(torch.ones(2, 2))


def fake_baseline(
    result: Any = None, declined: str = "", absent: str = "", a_sample_s: float = 0.0
) -> Baseline:
    """Return a baseline that returns, raises or loops."""

    def prepare(_: Workload, question: Question) -> Prepared:
        def run() -> Any:
            if isinstance(result, Exception):
                raise result
            for _ in question.args[0]:
                time.sleep(a_sample_s)
            return result

        return Prepared(run)

    return Baseline(
        "fake",
        "these tests",
        prepare,
        libraries=(absent,) if absent else (),
        reason_inapplicable=lambda workload, question: declined or None,
        smoke_test=False,
    )


def measured(
    monkeypatch: pytest.MonkeyPatch, fake: Baseline, workload: Workload = FINE[0]
) -> Row:
    """Return what becomes of a library in a case."""
    monkeypatch.setattr(candidate_registry, "BASELINES", (fake,))
    settings = Settings(strategies=("vmap_vjp",))
    case = measure(Trial(workload.name, 2), workload, settings)
    assert case.failure == ""
    [row] = [row for row in case.rows if row.kind == "library"]
    return row


def test_a_right_library(monkeypatch: pytest.MonkeyPatch) -> None:
    row = measured(monkeypatch, fake_baseline(J))

    assert row.outcome == "ok"
    assert row.error is not None
    assert row.time_s is not None
    assert len(row.times) >= 3


@pytest.mark.parametrize(
    ("fake", "outcome", "notes"),
    [
        (fake_baseline(J + 0.1), "wrong", "off by"),
        (fake_baseline(J * float("nan")), "nonfinite", "not finite"),
        (fake_baseline(J.mT.contiguous()[:, :1]), "wrong", "has shape"),
        (fake_baseline(3), "wrong", "has shape <class 'int'>"),
        (fake_baseline(RuntimeError("no rule")), "unsupported", "no rule"),
        (fake_baseline(TypeError("no type")), "error", "no type"),
        (fake_baseline(MemoryError("too much")), "oom", "too much"),
        (fake_baseline(declined="not today"), "unsupported", "not today"),
        (fake_baseline(absent="no_such_library"), "skipped", "not installed"),
    ],
)
def test_what_becomes_of_libraries(
    monkeypatch: pytest.MonkeyPatch, fake: Baseline, outcome: str, notes: str
) -> None:
    row = measured(monkeypatch, fake)

    assert row.outcome == outcome
    assert notes in row.notes
    assert row.times == ()


def test_a_loop_is_stopped_and_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(size: int) -> Question:
        x = torch.ones(200, size)
        return Question(fine(size).fn, (x,))

    many = Workload("many", "", "", "", (2, 2, 2), 1, build)

    row = measured(monkeypatch, fake_baseline(J, a_sample_s=0.005), many)

    assert row.outcome == "skipped"
    assert "extrapolated from 1 and" in row.notes
    assert row.time_s is not None
    assert row.time_s >= LIMITS["quick"].least_s


def test_a_preparation_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_forever(_: Workload, question: Question) -> Prepared:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(library, "PREPARING", 0.05)

    row = measured(monkeypatch, replace(fake_baseline(), prepare=compile_forever))

    assert (row.outcome, row.notes) == ("skipped", "not prepared within 50 ms")


def test_auto_and_its_strategies_are_rows() -> None:
    case = _without_libraries(FINE[0])

    assert [row.kind for row in case.rows].count("auto") == 1
    assert {row.outcome for row in case.rows} == {"ok", "unsupported"}
    auto = case.rows[0]
    assert auto.picked in {row.strategy for row in case.rows if row.outcome == "ok"}
    assert case.dtype == "float32"
    assert case.result_bytes == 2 * 3 * 2 * 4
    right = [row for row in case.rows if row.outcome == "ok"]
    assert all(row.peak_bytes for row in right)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
@pytest.mark.parametrize(
    ("noise", "outcome"), [(-math.inf, "ok"), (1.0, "skipped")], ids=["taken", "left"]
)
def test_what_auto_takes_compiled(
    monkeypatch: pytest.MonkeyPatch, noise: float, outcome: str
) -> None:
    # How much faster it must be: not at all, or infinitely.
    monkeypatch.setattr(compiled_variants, "NOISE", noise)
    settings = Settings(strategies=("vmap_vjp",), peers=False, compiled=True)

    case = measure(Trial("one", 2), FINE[0], settings)

    [row] = [row for row in case.rows if row.kind == "compiled"]
    assert row.strategy == "auto (compiled)"
    assert row.outcome == outcome
    assert (row.picked == "vmap_vjp") == (outcome == "ok")
    assert bool(row.times) == (outcome == "ok")
    assert outcome == "ok" or "not faster" in row.notes


def test_another_precision() -> None:
    settings = Settings(strategies=("vmap_vjp",), peers=False)

    case = measure(Trial("one", 2, "float64"), _linear(), settings)

    assert case.dtype == "float64"
    assert case.rows[0].outcome == "ok"


def test_nothing_fits() -> None:
    tight = Settings(peers=False, memory_budget="20B")

    case = measure(Trial("one", 2), FINE[0], tight)

    assert case.failure == "the Jacobian itself has 48 B, of 20 B"
    assert case.budget_bytes == 20


def test_names_that_nobody_has() -> None:
    with pytest.raises(ArgumentError, match=r"Did you mean 'vmap\(jacrev\)'"):
        Roster.of(Settings(exclude=("vmap(jacref)",)))


def test_slow_ones_take_part_in_fewer_rounds() -> None:
    asked: list[str] = []

    def time_one(name: str) -> float:
        asked.append(name)
        return 1.0

    first = {"fast": 1e-4, "slow": 0.25, "endless": 5.0}
    times = interleaved(first, time_one, LIMITS["quick"], seed=0)

    most = LIMITS["quick"].rounds
    assert [len(times[name]) for name in first] == [most, 3, 1]
    assert set(asked[:3]) == set(first)


def test_loose_times() -> None:
    assert not loose([1.0, 9.0])
    assert not loose([1.0, 1.01, 0.99, 1.0, 1.0, 1.02])
    assert loose([1.0, 2.0, 1.0, 3.0, 1.0, 4.0])


def test_a_deadline_ends_a_loop_and_leaves_no_timer() -> None:
    def endless() -> None:
        while True:
            time.sleep(0.001)

    with pytest.raises(DeadlineError), deadline(0.02):
        endless()
    with deadline(0.02):
        pass
    time.sleep(0.05)


def _linear() -> Workload:
    def build(size: int) -> Question:
        torch.manual_seed(0)
        return Question(torch.nn.Linear(size, 3), (torch.ones(2, size),))

    return Workload("linear", "", "", "", (2, 3, 4), 1, build)


def _without_libraries(workload: Workload) -> Case:
    return measure(Trial(workload.name, 2), workload, Settings(peers=False))
