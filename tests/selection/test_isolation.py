"""Faults that a call must survive: right by another method, or one typed error."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import PlanMismatchError, UnsupportedError
from jacengine.plans.plan import Plan
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.problems import OF_INPUTS, mlp, randn


def planned(case: Case, **options: Any) -> Plan:
    named: dict[str, Any] = {"effort": "none", **case.options, **options}
    return jacengine.plan(case.fn, *case.args, kwargs=case.kwargs, **named)


def survive(case: Case, tolerance: float = 1e-10) -> None:
    """Check that every strategy is right or says why not, and that one is right."""
    wanted = reference_jacobian(case)
    for strategy in OF_INPUTS:
        try:
            J = jacengine.jacobian(
                case.fn, *case.args, strategy=strategy, **case.options
            )
        except UnsupportedError:
            continue
        assert_same(J, wanted, tolerance)
    assert_same(planned(case)(*case.args), wanted, tolerance)


def wrong_in_a_mode() -> list[Case]:
    """List functions that torch itself gets wrong in one mode or under vmap."""
    positive = randn(3, 3) @ randn(3, 3).T + 3 * torch.eye(3, dtype=torch.float64)
    index = torch.tensor([0, 1, 0, 1])
    return [
        Case(lambda x: torch.cdist(x, x + 1, p=1.5), (randn(4, 2),)),
        Case(torch.cholesky_inverse, (torch.linalg.cholesky(positive),)),
        Case(lambda x: x.new_ones(2).scatter_reduce(0, index, x, "prod"), (randn(4),)),
        Case(lambda x: (x * 2).detach() * x, (randn(3),)),
    ]


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("case", wrong_in_a_mode())
def test_operators_that_are_wrong_in_a_mode(case: Case) -> None:
    survive(case)


def test_stopped_gradients_follow_reverse_mode() -> None:
    def stopped(x: Tensor) -> Tensor:
        with torch.no_grad():
            scale = x * 2
        return scale * x

    x = randn(3)
    case = Case(stopped, (x,))
    assert_same(reference_jacobian(case), (2 * x).diag(), 1e-12)
    survive(case)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("fn", "values"),
    [
        (torch.sin, [NAN, 1.0, 2.0]),
        (torch.sin, [INF, 1.0, 2.0]),
        (torch.sqrt, [-1.0, 1.0, 2.0]),
        (torch.sqrt, [0.0, 1.0, 2.0]),
        (lambda x: torch.where(x > 0, x.sqrt(), 0 * x), [0.0, 1.0, 4.0]),
        (lambda x: x / x.sum(), [1.0, -1.0, 0.0]),
    ],
)
def test_values_that_are_not_finite(
    fn: Callable[[Tensor], Tensor], values: list[float]
) -> None:
    """The plan gives what plain reverse mode gives, NaN and infinity included."""
    x = torch.tensor(values, dtype=torch.float64)
    J = planned(Case(fn, (x,)))(x)
    wanted = reference_jacobian(Case(fn, (x,)))
    assert J[wanted.isfinite()].tolist() == wanted[wanted.isfinite()].tolist()


@pytest.mark.parametrize("batch_dim", [None, 0])
def test_memory_layouts_of_inputs(batch_dim: int | None) -> None:
    base = randn(24)
    for x in (
        base.view(6, 4).T,
        base[::2].view(3, 4),
        base[:4].expand(3, 4),
        base[:12].view(3, 4).flip(0),
    ):
        survive(Case(mlp(x.shape[1], 3), (x,), options={"batch_dim": batch_dim}))


@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_inputs_that_overlap_themselves(
    strides: tuple[int, int], batch_dim: int | None
) -> None:
    x = randn(24).as_strided((3, 4), strides)
    survive(Case(mlp(4, 3), (x,), options={"batch_dim": batch_dim}))


def test_sparse_side_input() -> None:
    matrix = randn(3, 3)
    case = Case(lambda x, m: m @ x, (randn(3, 2), matrix.to_sparse()))
    wanted = reference_jacobian(Case(case.fn, (case.args[0], matrix)))
    assert_same(planned(case)(*case.args), wanted, 1e-12)


def test_a_branch_taken_by_values() -> None:
    def fn(x: Tensor) -> Tensor:
        return x.sin() if bool(x.sum() > 0) else x.cos() * x.sum()

    x = randn(4).abs()
    for strategy in set(OF_INPUTS) - {"repeat", "double_vjp_repeat"}:
        plan = planned(Case(fn, (x,)), strategies=[strategy])
        for point in (x, -x):
            assert_same(plan(point), reference_jacobian(Case(fn, (point,))), 1e-12)


def test_dropout_in_place_of_a_layer() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = planned(Case(model, (x,), options={"batch_dim": 0}))
    model[1] = nn.Dropout(0.5)
    with pytest.raises(
        (PlanMismatchError, jacengine.RandomnessError), match=r"plan|draws"
    ):
        plan(x)


@pytest.mark.parametrize("strategy", ["vmap_jvp", "forward_dual", "vmap_vjp", "auto"])
def test_four_threads(strategy: str) -> None:
    model = mlp(3, 8, 4)
    inputs = [randn(5, 3, seed=seed) for seed in range(4)]
    cases = [Case(model, (x,), options={"batch_dim": 0}) for x in inputs]
    wanted = [reference_jacobian(case) for case in cases]
    failures: list[object] = []

    def work(number: int) -> None:
        try:
            for _ in range(10):
                J = (
                    planned(cases[number])(inputs[number])
                    if strategy == "auto"
                    else jacengine.jacobian(
                        model, inputs[number], batch_dim=0, strategy=strategy
                    )
                )
                assert_same(J, wanted[number], 1e-12)
        except (AssertionError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_see_one_draw() -> None:
    x, together = randn(3), threading.Barrier(2)

    def noisy(x: Tensor) -> Tensor:
        # Both threads have put the generator back before either draws from it.
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=0.2)
        return x * torch.rand_like(x)

    torch.manual_seed(5)
    wanted = torch.rand_like(x).diag()
    torch.manual_seed(5)
    failures: list[object] = []

    def work() -> None:
        try:
            J = jacengine.jacobian(noisy, x, randomness="same", strategy="reverse_loop")
            assert_same(J, wanted, 1e-12)
        except (AssertionError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
