"""The sweep of torch's operators: what it calls right, and what it makes of others."""

from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import jacengine
from jacengine.bench.operators import children
from jacengine.bench.operators.samples import Sample, operator_names, samples
from jacengine.bench.operators.trial import (
    DERIVATIVES,
    READINGS,
    Case,
    Trial,
    attempt,
    cases,
)
from tests.problems import randn

X, Y = randn(3, 2), randn(2, seed=1)


def sample(fn: Any) -> Sample:
    return Sample("mine", 0, fn, (X, Y))


def product(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return x.sin() * y, y.exp()


def outcomes(fn: Any) -> dict[tuple[str, tuple[int, ...]], str]:
    own = sample(fn)
    tried = [attempt(own, case) for case in cases(own)]
    return {(t.case.what, t.case.inputs): t.outcome for t in tried}


def test_both_orders_by_each_input_and_by_all() -> None:
    groups = [(0,), (1,), (0, 1)]
    expected = {(what, group): "right" for what in DERIVATIVES for group in groups}
    assert outcomes(product) == expected


@pytest.mark.parametrize(
    "spoil", [lambda J: J * (1 + 1e-5), lambda J: J[..., :1], lambda J: J * torch.nan]
)
def test_wrong(monkeypatch: pytest.MonkeyPatch, spoil: Any) -> None:
    def faulty(*args: Any, **options: Any) -> Any:
        found = jacengine.jacobian(*args, **options, strategy="reverse_loop")
        return tuple(tuple(map(spoil, row)) for row in found)

    monkeypatch.setattr(jacengine, "auto", faulty)
    assert (
        attempt(sample(product), Case("mine", 0, "Jacobian", (0,))).outcome == "wrong"
    )


def test_refused() -> None:
    found = attempt(
        sample(lambda x, y: (torch.cdist(x, y[None]),)),
        Case("mine", 0, "Hessian", (0,)),
    )
    assert (found.outcome, "_cdist_backward" in found.detail) == ("refused", True)


class SquareOnce(torch.autograd.Function):
    """A square whose gradient is a constant to autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return 2 * ctx.saved_tensors[0].detach() * grad_outputs[0]


def test_doubtful() -> None:
    square: Any = SquareOnce.apply
    assert outcomes(lambda x, _: (square(x),))["Hessian", (0,)] == "doubtful"


def test_errors_of_other_types() -> None:
    def fails(*_: Tensor) -> tuple[Tensor, ...]:
        raise ValueError("mine")

    found = attempt(sample(fails), Case("mine", 0, "Jacobian", (0,)))
    assert (found.outcome, found.detail) == ("error", "ValueError: mine")


@pytest.mark.parametrize("outcome", ["crash", "hang"])
def test_children_that_end_early(outcome: str) -> None:
    receiver, sender = Pipe(duplex=False)
    case, other = Case("mine", 3, "Jacobian", (0,)), Case("mine", 3, "Hessian", (0,))
    unknown = Case("mine", -1, "Jacobian", ())
    for message in (case, Trial(case, "right"), other):
        sender.send(message)
    if outcome == "crash":
        sender.close()
    right, ended = children._received(receiver, 0.05, unknown)
    assert (right.case, right.outcome) == (case, "right")
    assert (ended.case, ended.outcome) == (other, outcome)


def test_operators_and_their_samples() -> None:
    names = operator_names()
    assert len(names) > 500
    assert len(set(names)) == len(names)
    complex_outputs = samples("fft.fft", 1)[0]
    assert all(not o.is_complex() for o in complex_outputs.fn(*complex_outputs.tensors))
    first, second = samples("matmul", 2), samples("matmul", 2)
    for one, other in zip(first, second, strict=True):
        assert all(map(torch.equal, one.tensors, other.tensors))


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    from jacengine.bench.operators.__main__ import main  # noqa: PLC0415

    names = ["sin", "fft.fft", "cdist"]
    found = CliRunner().invoke(main, [*names, "--count", "1", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    table = pd.read_csv(tmp_path / "operators.csv")
    assert list(table["operator"].unique()) == names
    assert set(table[table["operator"] != "cdist"]["outcome"]) == {"right"}
    refused = table[table["outcome"] == "refused"]
    assert set(refused["what"]) == {"Hessian"}
    report = (tmp_path / "operators.md").read_text()
    assert "| cdist | 0 | Hessian | 0 | refused | UnsupportedError" in report
    assert "nowhere" in CliRunner().invoke(main, ["nowhere"]).output


def test_readings() -> None:
    def fn(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (x.sin() * y,)

    own = sample(fn)
    tried = [attempt(own, case) for case in cases(own, READINGS)]
    assert [t.case.what for t in tried] == ["pattern"] * 2 + ["elimination"] * 2
    assert {t.outcome for t in tried} == {"right"}


def test_wrong_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    from jacengine.program import eliminate, pattern  # noqa: PLC0415

    empty = jacengine.Pattern((6, 6), [], [])
    monkeypatch.setattr(pattern, "read_pattern", lambda *_: empty)
    monkeypatch.setattr(
        eliminate.Elimination, "jacobian", lambda *_: torch.zeros(6, 6).double()
    )
    own = sample(lambda x, y: (x.sin() * y,))
    for what in READINGS:
        found = attempt(own, Case("mine", 0, what, (0,)))
        assert found.outcome == "wrong", found
