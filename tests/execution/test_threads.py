"""Calls from several threads are right: forward mode in torch 2.13 alone is not."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

import jacengine
from jacengine.plans import planning
from tests.compiling import COMPILING, compiled_plan, programs
from tests.problems import mlp, randn


@pytest.mark.parametrize("strategy", ["vmap_jvp", "forward_dual", "batched_grad"])
def test_one_plan_in_four_threads(strategy: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    xs = [torch.randn(4, 3, dtype=torch.float64) for _ in range(40)]
    plan = jacengine.plan(model, xs[0], batch_dim=0, strategies=[strategy])
    wanted = [
        jacengine.jacobian(model, x, batch_dim=0, strategy="reverse_loop") for x in xs
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(plan, xs * 5))
    for J, right in zip(found, wanted * 5, strict=True):
        torch.testing.assert_close(J, right)


def test_auto_in_four_threads() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    x = torch.randn(4, 3, dtype=torch.float64)

    def once(_: int) -> torch.Tensor:
        J: torch.Tensor = jacengine.auto(model, x, batch_dim=0, effort="none")
        return J

    with ThreadPoolExecutor(4) as pool:
        for J in pool.map(once, range(12)):
            torch.testing.assert_close(J[0], model.weight.detach())


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("strategy", ["quasi_linear", "vmap_vjp", "reverse_loop"])
def test_parameters_in_four_threads(strategy: str, create_graph: bool) -> None:
    # Each call puts tensors of its own in the place of the parameters for a while.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    known = dict(model.named_parameters())
    xs = [torch.randn(4, 3, dtype=torch.float64) for _ in range(40)]
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    options["create_graph"] = create_graph
    plan = jacengine.plan(model, xs[0], strategies=[strategy], **options)
    wanted = [plan(x) for x in xs]

    def once(x: torch.Tensor) -> Any:
        J = plan(x)
        total = torch.stack([block.square().sum() for block in J.values()]).sum()
        if not create_graph:
            return J, ()
        own = [*known.values()]
        return J, torch.autograd.grad(total, own, materialize_grads=True)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(once, xs * 5))
    for (J, gradients), right in zip(found, wanted * 5, strict=True):
        torch.testing.assert_close(J, right)
        assert not create_graph or any(g.any() for g in gradients)
    assert all(value is known[name] for name, value in model.named_parameters())


def _marked(test: Any) -> Any:
    for mark in COMPILING:
        test = mark(test)
    return test


@_marked
def test_compiled_programs_beside_others() -> None:
    # Their guards must not see tensors that another call has put in a module.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    xs = [torch.randn(4, 3, dtype=torch.float64) for _ in range(40)]
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    eager = jacengine.plan(model, xs[0], strategies=["reverse_loop"], **options)
    compiled = compiled_plan(model, xs[0], **options)
    wanted = [eager(x) for x in xs]
    before = programs(compiled)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(p, x) for x in xs for p in (eager, compiled)]
        results = [future.result() for future in found]
    for i, J in enumerate(results):
        torch.testing.assert_close(J, wanted[i // 2])
    assert programs(compiled) == before


def test_a_selection_does_not_stop_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = jacengine.plan(model, x, batch_dim=0, strategies=["vmap_jvp"])
    selecting, done = threading.Event(), threading.Event()

    def select(*_: Any, **__: Any) -> Any:
        selecting.set()
        assert done.wait(60)
        raise jacengine.NoStrategyError("given up")

    monkeypatch.setattr(planning, "select", select)

    def run() -> None:
        with pytest.raises(jacengine.NoStrategyError, match="given up"):
            jacengine.plan(lambda v: 2 * model(v), x, batch_dim=0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert selecting.wait(60)
        with ThreadPoolExecutor(1) as pool:  # in yet another thread, not to hang
            found = pool.submit(plan, x).result(timeout=30)
    finally:
        done.set()
        thread.join()
    torch.testing.assert_close(found, plan(x))
