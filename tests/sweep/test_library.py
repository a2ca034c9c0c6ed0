import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from jacengine.bench.baselines import Baseline, Prepared
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.report import Row
from jacengine.sweep import candidates, library
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.measure import measure
from tests.sweep.fakes import FINE, fine

J = torch.func.vmap(torch.func.jacrev(lambda x: fine(2).fn(x)))(torch.ones(2, 2))


def fake_baseline(
    result: Any = None, declined: str = "", absent: str = "", sample_s: float = 0.0
) -> Baseline:
    """Make a baseline that returns, raises or loops."""

    def prepare(_: Workload, derivative: DerivativeSpec) -> Prepared:
        def run() -> Any:
            if isinstance(result, Exception):
                raise result
            for _ in derivative.args[0]:
                time.sleep(sample_s)
            return result

        return Prepared(run)

    return Baseline(
        "fake",
        "these tests",
        prepare,
        libraries=(absent,) if absent else (),
        reason_inapplicable=lambda workload, derivative: declined or None,
        smoke_test=False,
    )


def measured(
    monkeypatch: pytest.MonkeyPatch, fake: Baseline, workload: Workload = FINE[0]
) -> Row:
    """Return the row of a library in a case."""
    monkeypatch.setattr(candidates, "BASELINES", (fake,))
    settings = Settings(strategies=("vmap_vjp",))
    case = measure(CaseSpec(workload.name, 2), workload, settings)
    assert case.failure == ""
    [row] = [row for row in case.rows if row.kind == "library"]
    return row


def test_a_correct_library(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_outcomes_of_libraries(
    monkeypatch: pytest.MonkeyPatch, fake: Baseline, outcome: str, notes: str
) -> None:
    row = measured(monkeypatch, fake)

    assert row.outcome == outcome
    assert notes in row.notes
    assert row.times == ()


def test_a_loop_is_stopped_and_extrapolated(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(size: int) -> DerivativeSpec:
        x = torch.ones(200, size)
        return DerivativeSpec(fine(size).fn, (x,))

    many = Workload("many", "", "", "", (2, 2, 2), 1, build)

    row = measured(monkeypatch, fake_baseline(J, sample_s=0.005), many)

    assert row.outcome == "skipped"
    assert "extrapolated from 1 and" in row.notes
    assert row.time_s is not None
    assert row.time_s >= LIMITS["quick"].least_s


def test_a_preparation_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_forever(_: Workload, derivative: DerivativeSpec) -> Prepared:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(library, "PREPARATION_S", 0.05)

    row = measured(monkeypatch, replace(fake_baseline(), prepare=compile_forever))

    assert (row.outcome, row.notes) == ("skipped", "not prepared within 50 ms")
