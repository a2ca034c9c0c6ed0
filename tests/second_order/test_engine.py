"""Budgets, graphs, plans and traces left, as for Jacobians."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import (
    ArgumentError,
    CoupledSamplesError,
    MemoryBudgetError,
    PlanMismatchError,
    RandomnessError,
)
from jacengine.execution.sweep import Sweep
from jacengine.peak_memory import peak_memory
from tests.contract.compare import assert_same
from tests.contract.scenario import Case
from tests.problems import mlp, randn
from tests.second_order.harness import FUNCTIONS, QUANTITIES
from tests.second_order.reference import reference

every = pytest.mark.parametrize("quantity", QUANTITIES)


def bumpy(x: Tensor) -> Tensor:
    """Map numbers to one, with a full Hessian and third derivatives."""
    return (x.sum(-1).sin() + 2) * (x.cos() + x**3 / 3).sum(-1)


X = randn(3, 4)


def asked(quantity: Any, **options: Any) -> Any:
    return FUNCTIONS[quantity](bumpy, X, batch_dim=0, **options)


def wanted(quantity: Any) -> Any:
    return reference(quantity, Case(bumpy, (X,), options={"batch_dim": 0}))


@every
def test_a_result_larger_than_the_budget(quantity: Any) -> None:
    with pytest.raises(MemoryBudgetError, match="itself has"):
        asked(quantity, memory_budget=16)


@pytest.mark.parametrize("strategy", jacengine.list_strategies("laplacian"))
def test_chunks_fit_the_budget(strategy: str) -> None:
    net, x = mlp(24, 32, 1), randn(16, 24)
    free = jacengine.plan(
        net,
        x,
        batch_dim=0,
        quantity="laplacian",
        strategies=[strategy],
        effort="none",
        memory_budget="1GiB",
    )
    needed = free.chosen.predicted_bytes
    assert needed is not None
    budget = int(needed * 0.7)
    try:
        tight = jacengine.plan(
            net,
            x,
            batch_dim=0,
            quantity="laplacian",
            strategies=[strategy],
            effort="none",
            memory_budget=budget,
        )
    except MemoryBudgetError:
        assert free.chosen.chunk_size == 1 or strategy.startswith("repeat")
        return
    with peak_memory(x.device) as peak:
        found = tight(x)
    assert peak.bytes <= budget
    torch.testing.assert_close(found, free(x), rtol=1e-9, atol=1e-12)


@every
def test_third_derivatives(quantity: Any) -> None:
    methods = jacengine.list_strategies(quantity)
    x = X.clone().requires_grad_()
    plain = _with_graph(quantity, x)
    weights = randn(*plain.shape, seed=5)
    (right,) = torch.autograd.grad((plain * weights).sum(), x)
    differentiated: list[str] = []
    for strategy in methods:
        own = X.clone().requires_grad_()
        try:
            found = FUNCTIONS[quantity](
                bumpy, own, batch_dim=0, strategies=[strategy], create_graph=True
            )
        except jacengine.NoStrategyError:
            continue
        (third,) = torch.autograd.grad((found * weights).sum(), own)
        torch.testing.assert_close(third, right)
        differentiated.append(strategy)
    assert "reverse_loop_over_grad" in differentiated
    assert len(differentiated) >= len(methods) - 2


def _with_graph(quantity: Any, x: Tensor) -> Tensor:
    """Compute it by plain nested reverse mode, with a graph."""
    (first,) = torch.autograd.grad(bumpy(x).sum(), x, create_graph=True)
    rows = [
        torch.autograd.grad(first[:, i].sum(), x, create_graph=True)[0]
        for i in range(x.shape[1])
    ]
    whole = torch.stack(rows, 1)
    diagonal = whole.diagonal(dim1=1, dim2=2)
    return {
        "hessian": whole,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(-1),
    }[str(quantity)]


def test_a_physics_informed_loss_has_gradients() -> None:
    net, x = mlp(2, 8, 1), randn(6, 2)
    residual = jacengine.laplacian(net, x, create_graph=True) - 1
    # The last bias has no part in it.
    parameters = list(net.parameters())[:-1]
    found = torch.autograd.grad(residual.square().mean(), parameters)
    own = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(net(own).sum(), own, create_graph=True)
    second = [
        torch.autograd.grad(first[:, i].sum(), own, create_graph=True)[0][:, i]
        for i in range(2)
    ]
    loss = (torch.stack(second).sum(0).unsqueeze(1) - 1).square().mean()
    for a, b in zip(found, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(a, b)


@every
def test_a_plan_is_saved_and_bound_again(quantity: Any, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    plan = jacengine.plan(bumpy, X, batch_dim=0, quantity=quantity)
    plan.save(file)
    loaded = jacengine.load_plan(file, bumpy, X, batch_dim=0, quantity=quantity)
    assert loaded.strategy == plan.strategy
    assert_same(loaded(X), wanted(quantity), 1e-9)
    others: set[Any] = {"jacobian", *QUANTITIES} - {quantity}
    for other in others:
        with pytest.raises((PlanMismatchError, ArgumentError)):
            jacengine.load_plan(file, bumpy, X, batch_dim=0, quantity=other)


@every
def test_a_plan_explains_itself(quantity: Any) -> None:
    plan = jacengine.plan(bumpy, X, batch_dim=0, quantity=quantity)
    told = plan.explain()
    for strategy in jacengine.list_strategies(quantity):
        assert strategy in told
        assert plan.why_not(strategy)
    assert len(plan.to_frame()) >= len(jacengine.list_strategies(quantity))
    assert_same(plan(X), wanted(quantity), 1e-9)


@every
def test_the_benchmark_has_every_method(quantity: Any) -> None:
    frame = jacengine.benchmark(bumpy, X, batch_dim=0, quantity=quantity).to_frame()
    assert set(jacengine.list_strategies(quantity)) <= set(frame["strategy"])
    assert (frame["outcome"] == "ok").sum() >= 5


@every
def test_nothing_of_the_users_is_changed(quantity: Any) -> None:
    net = mlp(4, 5, 1)
    x = X.clone().requires_grad_()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    found = FUNCTIONS[quantity](net, x, batch_dim=0)
    assert not found.requires_grad
    assert x.grad is None
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(state[n], value) for n, value in net.state_dict().items())
    assert all(
        bool((p.grad == 1).all()) for p in net.parameters() if p.grad is not None
    )
    assert all(p.requires_grad for p in net.parameters())
    with torch.inference_mode():
        again = FUNCTIONS[quantity](net, X, batch_dim=0)
    torch.testing.assert_close(again.clone(), found)


@every
def test_random_and_coupled_functions_are_refused(quantity: Any) -> None:
    with pytest.raises(RandomnessError):
        FUNCTIONS[quantity](nn.Dropout(0.5), X, batch_dim=0)
    with pytest.raises(CoupledSamplesError):
        FUNCTIONS[quantity](lambda x: (x - x.mean(0)) ** 2, X, batch_dim=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategies": ["vmap_jvp"]}, "vmap_jvp"),
        ({"effort": "much"}, "effort='much'"),
        ({"columns": torch.tensor([4])}, "out of range"),
    ],
)
@every
def test_options_that_do_not_fit(quantity: Any, options: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        asked(quantity, **options)


@pytest.mark.parametrize("quantity", ["hessian_diagonal", "laplacian"])
def test_a_column_is_named_once(quantity: Any) -> None:
    with pytest.raises(ArgumentError, match="names an entry twice"):
        asked(quantity, columns=torch.tensor([1, 1]))


@pytest.mark.parametrize("strategy", ["vmap_jvp_over_vjp", "batched_grad_over_grad"])
def test_a_trace_holds_sums_alone(strategy: str) -> None:
    """However many entries are summed, the same graph and no diagonal is held."""
    x = randn(2000, 8)

    def peak_of(count: int) -> int:
        plan = jacengine.plan(
            bumpy,
            x,
            batch_dim=0,
            quantity="laplacian",
            columns=slice(0, count),
            strategies=[strategy],
            effort="none",
        )
        method = plan.chosen.method
        assert method is not None
        kernel = Sweep(plan.problem, replace(method, chunk_size=1))
        call = plan.problem.bind(plan.callee, [x])
        kernel.run(call)
        with peak_memory(torch.device("cpu")) as peak:
            kernel.run(call)
        return peak.bytes

    an_entry_of_all_samples = 2000 * 8
    assert peak_of(8) - peak_of(3) < an_entry_of_all_samples
