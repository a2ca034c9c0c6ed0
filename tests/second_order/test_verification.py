"""Wrong second derivatives are found out, and rounding is not mistaken for them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine import Capabilities, Point, Strategy
from jacengine.bench.workloads import WORKLOADS
from jacengine.interface import LinearMap, Passes
from jacengine.plans.plan import Plan
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.diagonal_reference import SELECTION_PASSES
from jacengine.selection.reference import Reference
from jacengine.strategies.forward_laplacian import ForwardLaplacian
from jacengine.strategies.reverse_loop import ReverseLoop
from tests.broken_strategies import (
    Forward,
    Reverse,
    ReverseSingle,
    scaling_where,
    spoiling,
)
from tests.contract.compare import assert_same
from tests.contract.scenario import Case
from tests.problems import plan_among, randn
from tests.second_order.harness import QUANTITIES
from tests.second_order.reference import reference

X = randn(6)
MANY = SELECTION_PASSES + 44
"""More entries than `DiagonalReference` looks at of a function with one output."""


def bumpy(x: Tensor) -> Tensor:
    """Map numbers to one, with a full Hessian without zeros."""
    return (x.sum(-1).sin() + 2) * (x.cos() + x**3 / 3).sum(-1)


def planned(
    faulty: Strategy,
    quantity: Any,
    x: Tensor = X,
    *,
    effort: Any = "none",
    **options: Any,
) -> Plan:
    """Let a faulty method compete with the plainest of its quantity."""
    strategies = [faulty, ReverseLoop()]
    return plan_among(strategies, bumpy, x, effort=effort, quantity=quantity, **options)


def check_rejected(plan: Plan, outcome: str, reason: str) -> None:
    records = {record.strategy: record for record in plan.selection.candidates}
    (faulty,) = (name for name in records if name.startswith("faulty"))
    assert plan.strategy == "reverse_loop_over_grad"
    assert records[faulty].outcome == outcome
    assert reason in records[faulty].reason


def last_entry(product: Tensor) -> Tensor:
    """Spoil one entry of each product."""
    flat = product.clone()
    flat.view(flat.shape[0], -1)[:, -1] *= 1.001
    return flat


def nan_in_last(product: Tensor) -> Tensor:
    flat = product.clone()
    flat.view(-1)[-1] = float("nan")
    return flat


FAULTS: dict[str, Callable[[Tensor], Any]] = {
    "zeros": torch.zeros_like,
    "sign": torch.neg,
    "order": lambda p: p.roll(1, -1),
    "scaled": lambda p: p * (1 + 1e-6),
    "one entry": last_entry,
    "float32": Tensor.float,
}


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", [Forward, Reverse, ReverseSingle])
@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_products(fault: str, kind: Any, quantity: Any) -> None:
    effort: Any = "quick" if fault == "scaled" else "none"
    plan = planned(kind(spoiling(FAULTS[fault])), quantity, effort=effort)
    check_rejected(plan, "wrong", "from plain autograd")
    wanted = reference(quantity, Case(bumpy, (X,)))
    assert_same(plan(X), wanted, 1e-12)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", [Forward, Reverse])
@pytest.mark.parametrize("place", [0, 5])
def test_one_wrong_direction(place: int, kind: Any, quantity: Any) -> None:
    faulty = kind(scaling_where(place, 1 + 1e-5))
    check_rejected(planned(faulty, quantity), "wrong", "from plain autograd")


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", [Forward, Reverse])
def test_products_that_are_not_finite(kind: Any, quantity: Any) -> None:
    plan = planned(kind(spoiling(nan_in_last)), quantity)
    check_rejected(plan, "nonfinite", "not finite where")


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", [Forward, Reverse])
def test_broken_contract(kind: Any, quantity: Any) -> None:
    plan = planned(kind(spoiling(lambda p: p[..., :-1])), quantity)
    check_rejected(plan, "error", "expected")


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("fault", ["zeros", "scaled"])
@pytest.mark.parametrize("kind", [Forward, Reverse])
def test_with_more_entries_than_are_looked_at(
    kind: Any, fault: str, quantity: Any
) -> None:
    x = randn(MANY)
    plan = planned(kind(spoiling(FAULTS[fault])), quantity, x)
    check_rejected(plan, "wrong", "from plain autograd")


@pytest.mark.parametrize("quantity", ["hessian_diagonal", "laplacian"])
def test_right_with_more_entries_than_are_looked_at(quantity: Any) -> None:
    x = randn(1, MANY)
    case = Case(bumpy, (x,), options={"batch_dim": 0})

    def total(x: Tensor) -> Tensor:
        return bumpy(x).sum()

    gradient: Any = torch.func.grad(total)
    H = jacengine.jacobian(gradient, x, batch_dim=0, strategy="reverse_loop")
    wanted = H.diagonal(dim1=-2, dim2=-1)
    wanted = wanted if quantity == "hessian_diagonal" else wanted.sum(-1)
    for strategy in jacengine.list_strategies(quantity):
        plan = jacengine.plan(
            bumpy,
            *case.args,
            batch_dim=0,
            strategies=[strategy],
            quantity=quantity,
            effort="none",
        )
        assert plan.chosen.outcome == "ok"
        assert torch.allclose(plan(x), wanted, rtol=1e-11)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("fault", FAULTS)
def test_of_samples(fault: str, quantity: Any) -> None:
    plan = planned(Forward(spoiling(FAULTS[fault])), quantity, randn(4, 6), batch_dim=0)
    check_rejected(plan, "wrong", "from plain autograd")


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_of_chosen_columns(quantity: Any) -> None:
    faulty = Forward(spoiling(FAULTS["scaled"]))
    plan = planned(faulty, quantity, columns=slice(1, 4))
    check_rejected(plan, "wrong", "from plain autograd")


class FaultyLaplacian(Strategy):
    """The forward Laplacian, made wrong."""

    name = "faulty"
    summary = "the forward Laplacian, made wrong"
    source = "tests"
    wins = "never"
    capabilities = Capabilities(mode="trace")

    def __init__(self, spoil: Callable[[Tensor], Tensor]) -> None:
        self._spoil = spoil

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(0, 0)

    def linearize(self, point: Point) -> LinearMap:
        right = ForwardLaplacian().linearize(point)
        return lambda seeds: tuple(map(self._spoil, right(seeds)))


@pytest.mark.parametrize("count", [6, MANY])
@pytest.mark.parametrize(
    ("spoil", "outcome"),
    [
        (torch.zeros_like, "wrong"),
        (lambda p: p * (1 + 1e-6), "wrong"),
        (lambda p: p + 1, "wrong"),
        (lambda p: p * float("nan"), "nonfinite"),
        (lambda p: p.unsqueeze(0), "error"),
    ],
)
def test_wrong_sums(spoil: Any, outcome: str, count: int) -> None:
    for options in ({}, {"batch_dim": 0}):
        x = randn(count) if not options else randn(3, count)
        plan = planned(FaultyLaplacian(spoil), "laplacian", x, **options)
        check_rejected(plan, outcome, "")


def _power(x: Tensor) -> Tensor:
    """Take the real part of z^5, which is harmonic, so that its Laplacian cancels."""
    re, im = x[..., 0], x[..., 1]
    real, imaginary = re, im
    for _ in range(4):
        real, imaginary = real * re - imaginary * im, real * im + imaginary * re
    return real


CANCELLING: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "z5": (_power, 2),
    "1/r": (lambda x: 1 / x.square().sum(-1).sqrt(), 3),
    "log r": (lambda x: x.square().sum(-1).log(), 2),
    "1/r^8 in 10-D": (lambda x: x.square().sum(-1) ** -4, 10),
    "x^2 - y^2": (lambda x: x[..., 0] ** 2 - x[..., 1] ** 2, 2),
    "product": (lambda x: x.prod(-1), 3),
    "coupled": (lambda x: x[..., 0] * x[..., 1].sin().exp(), 2),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("quantity", ["hessian_diagonal", "laplacian"])
@pytest.mark.parametrize("name", CANCELLING)
def test_rounding_is_not_called_wrong(
    name: str, quantity: Any, dtype: torch.dtype
) -> None:
    fn, dimension = CANCELLING[name]
    x = (randn(64, dimension) * 1.5).to(dtype)
    for strategy in jacengine.list_strategies(quantity):
        plan = jacengine.plan(
            fn,
            x,
            batch_dim=0,
            quantity=quantity,
            effort="none",
            strategies=[strategy],
        )
        assert plan.chosen.outcome == "ok"


def test_a_named_strategy_that_is_wrong_leaves_none() -> None:
    faulty = Forward(spoiling(torch.neg))
    with pytest.raises(jacengine.NoStrategyError, match="wrong"):
        plan_among([faulty], bumpy, X, quantity="laplacian")


def test_rounding_near_a_singularity_is_no_fault() -> None:
    """Sums of determinants that almost cancel: float32 has three digits left there."""
    [workload] = [w for w in WORKLOADS if w.name == "quantum_net"]
    question = workload.build(10)
    options: dict[str, Any] = {
        "wrt": question.wrt,
        "batch_dim": question.batch_dim,
        "quantity": question.quantity,
        "effort": "none",
    }
    precise = question.to(dtype=torch.float64)
    known = jacengine.plan(precise.fn, *precise.args, **options)(*precise.args)
    plan = jacengine.plan(
        question.fn, *question.args, strategies=["forward_laplacian"], **options
    )
    found = plan(*question.args)
    assert float((found - known).abs().max() / known.abs().max()) > 1e-5

    call = plan.problem.bind(plan.callee, list(question.args))
    reference = Reference.of(plan.problem, call, passes=None)
    layout = ResultLayout(plan.problem)
    assert reference.judge(Result(layout, [[found]])).right
    # What is off by as little, but everywhere, is wrong.
    assert not reference.judge(Result(layout, [[found * (1 + 1e-3)]])).right
    assert not reference.judge(Result(layout, [[found * 1.1]])).right
