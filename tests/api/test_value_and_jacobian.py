"""Value and Jacobian from one pass: right, and without a further call."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.execution.sweep import Sweep
from jacengine.interface import Capabilities, LinearMap, Passes, Point, Strategy
from jacengine.plans import planning
from jacengine.problem.bound_function import BoundFunction
from tests.compiling import COMPILING, compiled_plan
from tests.problems import mlp, plan_among, randn

pytestmark = COMPILING

FIRST_ORDER = jacengine.list_strategies()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Generator[list[int]]:
    """Count evaluations of the user's function."""
    calls: list[int] = []
    run = BoundFunction.run

    def counting(self: BoundFunction, *args: Any) -> Any:
        calls.append(1)
        return run(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(BoundFunction, "run", counting)
        yield calls


@pytest.mark.parametrize("batch_dim", [0, None])
@pytest.mark.parametrize("wrt", [0, "params"])
@pytest.mark.parametrize("strategy", FIRST_ORDER)
def test_of_every_strategy_without_a_further_call(
    strategy: str, wrt: Any, batch_dim: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    options: dict[str, Any] = {
        "wrt": wrt,
        "batch_dim": batch_dim,
        "strategies": [strategy],
        "compiled": False,
        "effort": "none",
    }
    try:
        plan = jacengine.plan(model, x, **options, with_value=True)
    except jacengine.NoStrategyError:
        assert strategy in {"quasi_linear", "elimination"}
        return
    other = randn(5, 3, seed=1)
    with counted(monkeypatch) as with_value:
        value, J = plan(other)
    plain = jacengine.plan(model, x, **options)
    with counted(monkeypatch) as without:
        wanted = plain(other)
    assert len(with_value) == len(without)
    torch.testing.assert_close(value, model(other).detach())
    torch.testing.assert_close(J, wanted)
    assert not value.requires_grad


@pytest.mark.parametrize("strategy", ["reverse_loop", "vmap_jvp", "vmap_vjp"])
def test_values_of_slices_of_samples_are_joined(strategy: str) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = jacengine.plan(
        model, x, batch_dim=0, with_value=True, strategies=[strategy], compiled=False
    )
    assert plan.chosen.method is not None
    method = replace(plan.chosen.method, slice_size=2)
    result = Sweep(plan.problem, method).run(plan.problem.bind(plan.callee, [x]))
    torch.testing.assert_close(result.value(), model(x).detach())


@pytest.mark.parametrize("size", [5, 3000], ids=["small", "in huge pages"])
def test_compiled(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.sin() * x.roll(1, -1)

    x = randn(size, 16)
    plan = compiled_plan(fn, x, batch_dim=0, with_value=True)
    other = randn(size, 16, seed=1)
    plan(other)

    def refused(*_: object) -> Any:
        raise AssertionError("the function was called")

    with monkeypatch.context() as patch:
        patch.setattr(BoundFunction, "run", refused)
        value, J = plan(other)
    torch.testing.assert_close(value, fn(other))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: fn(x)[1]))(other)
    torch.testing.assert_close(J[1], jacobian)
    assert value[0].data_ptr() != other.data_ptr()


def test_nested_values_have_memory_of_their_own() -> None:
    def fn(x: Tensor, y: dict[str, Tensor]) -> dict[str, Any]:
        return {"x": x, "more": (y["y"] * 2, x.sum())}

    x, y = randn(3), {"y": randn(2)}
    value, J = jacengine.value_and_jacobian(fn, x, y, wrt=(0, 1))
    torch.testing.assert_close(value, fn(x, y))
    torch.testing.assert_close(J["more"][1][0], torch.ones(3).double())
    assert value["x"].data_ptr() != x.data_ptr()


def test_with_aux() -> None:
    def fn(x: Tensor) -> tuple[Tensor, str]:
        return x**2, "aux"

    x = randn(3)
    (value, aux), J = jacengine.value_and_jacobian(fn, x, has_aux=True)
    assert aux == "aux"
    torch.testing.assert_close(value, x**2)
    torch.testing.assert_close(J, (2 * x).diag())


def test_both_are_differentiable_on_request() -> None:
    for strategy in ("reverse_loop", "vmap_jvp"):
        x = randn(3).requires_grad_()
        value, J = jacengine.value_and_jacobian(
            lambda x: x**3, x, create_graph=True, strategies=[strategy]
        )
        (found,) = torch.autograd.grad(value.sum() + J.sum(), x)
        torch.testing.assert_close(found, (3 * x**2 + 6 * x).detach())
    value, _ = jacengine.value_and_jacobian(lambda x: x**3, x)
    assert not value.requires_grad


def test_out_and_layouts() -> None:
    x, out = randn(4), torch.empty(4, 4).double()
    value, found = jacengine.value_and_jacobian(torch.sin, x, out=out)
    assert found is out
    torch.testing.assert_close(out, x.cos().diag())
    torch.testing.assert_close(value, x.sin())
    x = randn(100)
    value, found = jacengine.value_and_jacobian(torch.sin, x, layout="csr")
    torch.testing.assert_close(found.to_dense(), x.cos().diag())
    torch.testing.assert_close(value, x.sin())
    value, found = jacengine.value_and_jacobian(torch.sin, x, rows=slice(2))
    assert value.shape == (100,)
    assert found.shape == (2, 100)


def test_the_value_is_of_the_same_draw() -> None:
    model, x = nn.Sequential(nn.Linear(3, 40), nn.Dropout(0.5)).double(), randn(3)
    torch.manual_seed(1)
    value, found = jacengine.value_and_jacobian(model, x, randomness="same")
    assert torch.equal(value == 0, (found == 0).all(1))
    torch.manual_seed(1)
    torch.testing.assert_close(value, model(x).detach())


def test_the_choice_is_kept_for_further_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = planning._make

    def counting(*args: Any, **options: Any) -> Any:
        made.append(1)
        return make(*args, **options)

    monkeypatch.setattr(planning, "_make", counting)
    for _ in range(3):
        jacengine.value_and_jacobian(lambda x: x.sin() * 3.25, randn(3))
    assert len(made) == 1
    jacengine.auto(lambda x: x.sin() * 3.25, randn(3))
    assert len(made) == 2


def test_another_number_of_samples() -> None:
    model = mlp(3, 4, 2)
    plan = jacengine.plan(model, randn(5, 3), batch_dim=0, with_value=True)
    x = randn(2, 3)
    torch.testing.assert_close(plan(x)[0], model(x).detach())


@dataclass(frozen=True)
class Elsewhere(Strategy):
    """Evaluates the function elsewhere first; or, without shift, not at all."""

    name: ClassVar[str] = "elsewhere"
    summary: ClassVar[str] = "evaluates elsewhere first"
    source: ClassVar[str] = "-"
    wins: ClassVar[str] = "-"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="vjp")
    shift: float | None = 1.0

    def passes(self, blocks: int) -> Passes:
        return Passes(1, blocks)

    def linearize(self, point: Point) -> LinearMap:
        if self.shift is not None:
            point.function(*(primal + self.shift for primal in point.primals))
        (x,) = point.primals
        return lambda seeds: (seeds[0] * x.cos(),)


def test_a_wrong_value_is_found_and_a_missing_one_computed() -> None:
    x = randn(3)
    plan = plan_among([Elsewhere(shift=None)], torch.sin, x, with_value=True)
    value, J = plan(x)
    torch.testing.assert_close(value, x.sin())
    torch.testing.assert_close(J, x.cos().diag())
    with pytest.raises(jacengine.NoStrategyError, match="off by"):
        plan_among([Elsewhere()], torch.sin, x, with_value=True)
    assert plan_among([Elsewhere()], torch.sin, x).strategy == "elsewhere"


def test_only_a_jacobian_has_a_value_beside_it() -> None:
    with pytest.raises(jacengine.ArgumentError, match="with_value=True belongs to"):
        jacengine.plan(torch.sum, randn(3), with_value=True, quantity="hessian")
