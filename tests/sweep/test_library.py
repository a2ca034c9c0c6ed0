import time
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from jacengine.bench.baselines import Baseline, Prepared
from jacengine.bench.workload import Question, Workload
from jacengine.interface import Unsupported
from jacengine.report import Row
from jacengine.sweep import candidates, library
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.measure import measure
from tests.sweep.fakes import FINE, fine

J = torch.func.vmap(torch.func.jacrev(lambda x: fine(2).fn(x)))(torch.ones(2, 2))


@dataclass(frozen=True)
class Fake(Baseline):
    """Returns, raises or loops, as configured."""

    name: ClassVar[str] = "fake"
    source: ClassVar[str] = "these tests"
    result: Any = None
    declined: str = ""
    absent: str = ""
    a_sample_s: float = 0.0

    def missing(self) -> str | None:
        return self.absent or None

    def check(
        self, workload: Workload, size: int, question: Question
    ) -> Unsupported | None:
        return Unsupported(self.declined) if self.declined else None

    def prepare(self, workload: Workload, size: int, question: Question) -> Prepared:
        def run() -> Any:
            if isinstance(self.result, Exception):
                raise self.result
            for _ in question.args[0]:
                time.sleep(self.a_sample_s)
            return self.result

        return Prepared(run)


def measured(
    monkeypatch: pytest.MonkeyPatch, fake: Fake, workload: Workload = FINE[0]
) -> Row:
    """Return the row of a library in a case."""
    monkeypatch.setattr(candidates, "BASELINES", (fake,))
    settings = Settings(strategies=("vmap_vjp",))
    case = measure(CaseSpec(workload.name, 2), workload, settings)
    assert case.failure == ""
    [row] = [row for row in case.rows if row.kind == "library"]
    return row


def test_a_correct_library(monkeypatch: pytest.MonkeyPatch) -> None:
    row = measured(monkeypatch, Fake(J))

    assert row.outcome == "ok"
    assert row.error is not None
    assert row.time_s is not None
    assert len(row.times) >= 3


@pytest.mark.parametrize(
    ("fake", "outcome", "notes"),
    [
        (Fake(J + 0.1), "wrong", "off by"),
        (Fake(J * float("nan")), "nonfinite", "not finite"),
        (Fake(J.mT.contiguous()[:, :1]), "wrong", "has shape"),
        (Fake(3), "wrong", "has shape <class 'int'>"),
        (Fake(RuntimeError("no rule")), "unsupported", "no rule"),
        (Fake(TypeError("no type")), "error", "no type"),
        (Fake(MemoryError("too much")), "oom", "too much"),
        (Fake(declined="not today"), "unsupported", "not today"),
        (Fake(absent="not installed"), "skipped", "not installed"),
    ],
)
def test_outcomes_of_libraries(
    monkeypatch: pytest.MonkeyPatch, fake: Fake, outcome: str, notes: str
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

    row = measured(monkeypatch, Fake(J, a_sample_s=0.005), many)

    assert row.outcome == "skipped"
    assert "extrapolated from 1 and" in row.notes
    assert row.time_s is not None
    assert row.time_s >= LIMITS["quick"].least_s


def test_a_preparation_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Compiles(Fake):
        def prepare(
            self, workload: Workload, size: int, question: Question
        ) -> Prepared:
            while True:
                time.sleep(0.01)

    monkeypatch.setattr(library, "PREPARATION_S", 0.05)

    row = measured(monkeypatch, Compiles())

    assert (row.outcome, row.notes) == ("skipped", "not prepared within 50 ms")
