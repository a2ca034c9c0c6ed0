"""A faulty strategy is never chosen, and its record says what is wrong with it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine import NoStrategyError, Point, Strategy, UnsupportedError
from jacengine.interface import LinearMap
from jacengine.plans.plan import Plan
from jacengine.strategies.reverse_loop import ReverseLoop
from tests.broken_strategies import (
    Forward,
    Reverse,
    ReverseSingle,
    meddling,
    raising,
    scaling_where,
    sharing,
    spoiling,
)
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.problems import plan_among, randn

X = randn(8)


def square(x: Tensor) -> Tensor:
    """Map eight numbers to eight, with a full Jacobian that is not symmetric."""
    return torch.tanh(x @ randn(8, 8, seed=3)) * x


def planned(
    *strategies: Strategy, effort: Any = "none", fn: Any = square, x: Tensor = X
) -> Plan:
    return plan_among([*strategies, ReverseLoop()], fn, x, effort=effort)


def check_rejected(
    strategy: Strategy, outcome: str, reason: str, *, effort: Any = "none"
) -> None:
    """Check that a strategy lost, for the right reason, and the right one won."""
    plan = planned(strategy, effort=effort)
    records = {r.strategy: r for r in plan.selection.candidates}
    assert plan.strategy == "reverse_loop"
    assert records["faulty"].outcome == outcome
    assert reason in records["faulty"].reason
    assert reason in plan.why_not("faulty")
    assert_same(plan(X), reference_jacobian(Case(square, (X,))), 1e-12)


def nan_in_one_entry(product: Tensor) -> Tensor:
    flat = product.clone()
    flat.view(-1)[-1] = float("nan")
    return flat


def transposed(point: Point, right: LinearMap) -> LinearMap:
    del right
    (J,) = torch.autograd.functional.jacobian(point.function, point.primals)[0]
    return lambda seeds: (seeds[0] @ J.T,)


OFF = "from plain autograd (relative)"

WRONG: list[Any] = [
    pytest.param(Reverse(scaling_where(3, 1 + 1e-3)), OFF, id="one row"),
    pytest.param(Reverse(scaling_where(3, 1 + 1e-5)), OFF, id="one row, slightly"),
    pytest.param(Forward(scaling_where(5, 1 + 1e-3)), OFF, id="one column"),
    pytest.param(Reverse(spoiling(torch.zeros_like)), OFF, id="zeros"),
    pytest.param(Forward(spoiling(torch.zeros_like)), OFF, id="zeros forward"),
    pytest.param(Reverse(spoiling(torch.neg)), OFF, id="sign"),
    pytest.param(Reverse(spoiling(lambda p: p.roll(1, -1))), OFF, id="order"),
    pytest.param(Reverse(transposed), OFF, id="transposed"),
    pytest.param(Reverse(spoiling(Tensor.float)), OFF, id="float32 for float64"),
]


@pytest.mark.parametrize("effort", ["none", "quick"])
@pytest.mark.parametrize(("strategy", "reason"), WRONG)
def test_wrong_values(strategy: Strategy, reason: str, effort: Any) -> None:
    check_rejected(strategy, "wrong", reason, effort=effort)


@pytest.mark.parametrize(("strategy", "reason"), WRONG)
def test_wrong_values_by_name(strategy: Strategy, reason: str) -> None:
    with pytest.raises(UnsupportedError, match="faulty cannot compute") as caught:
        jacengine.jacobian(square, X, strategy=strategy)
    assert reason in str(caught.value)


@pytest.mark.parametrize("effort", ["none", "quick"])
@pytest.mark.parametrize("kind", [Reverse, Forward])
def test_values_that_are_not_finite(kind: Any, effort: Any) -> None:
    for spoil in (nan_in_one_entry, lambda p: p * float("inf")):
        strategy = kind(spoiling(spoil))
        check_rejected(strategy, "nonfinite", "not finite where", effort=effort)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p[..., :-1], "expected [(1, 8)]"),
        (lambda p: p.unsqueeze(0), "expected [(1, 8)]"),
        (lambda p: torch.cat([p, p]), "expected [(1, 8)]"),
        (lambda _: None, "['NoneType']"),
        (lambda p: p.tolist(), "['list']"),
    ],
)
@pytest.mark.parametrize("kind", [Reverse, Forward])
def test_broken_contract(
    kind: Any, spoil: Callable[[Tensor], Any], reason: str
) -> None:
    check_rejected(kind(spoiling(spoil)), "error", reason)


def test_products_that_are_no_tuple() -> None:
    listing: Any = lambda _, right: lambda seeds: list(right(seeds))  # noqa: E731
    check_rejected(Reverse(listing), "error", "products of shape list")


@pytest.mark.parametrize("effort", ["none", "quick"])
@pytest.mark.parametrize("at", [0, 1, 3, 6])
@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ValueError("mine"), "error", "ValueError: mine"),
        (KeyError("mine"), "error", "KeyError"),
        (RuntimeError("mine"), "unsupported", "RuntimeError: mine"),
        (
            NotImplementedError("no kernel for 'aten::mine' here. More"),
            "unsupported",
            "NotImplementedError: no kernel for 'aten::mine' here",
        ),
        (torch.OutOfMemoryError("mine"), "oom", "OutOfMemoryError"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom", "allocate"),
    ],
)
def test_exceptions(
    error: Exception, outcome: str, reason: str, at: int, effort: Any
) -> None:
    check_rejected(ReverseSingle(raising(error, at)), outcome, reason, effort=effort)


def test_slow() -> None:
    strategy = ReverseSingle(meddling(lambda _: time.sleep(0.01)))
    plan = planned(strategy, effort="quick")
    assert plan.strategy == "reverse_loop"
    assert "faulty" in plan.why_not("faulty")


def test_nothing_right() -> None:
    reasons = r"(.|\n)*faulty(.|\n)*wrong(.|\n)*off by"
    with pytest.raises(NoStrategyError, match=f"No strategy{reasons}"):
        plan_among([Reverse(spoiling(torch.neg))], square, X)


def test_buffer_that_is_overwritten() -> None:
    plan = planned(Reverse(sharing()))
    wanted = reference_jacobian(Case(square, (X,)))
    first = plan(X)
    plan(X + 1)
    assert_same(first, wanted, 1e-12)


def test_input_changed_in_place() -> None:
    x = X.clone()
    plan = planned(Reverse(meddling(lambda point: point.primals[0].mul_(2))), x=x)
    assert torch.equal(x, X)
    assert plan.strategy == "reverse_loop"
    assert_same(plan(x), reference_jacobian(Case(square, (X,))), 1e-12)
