"""Backward passes that have no derivative themselves: told, never silent zeros."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import jacengine
from jacengine import UnsupportedError
from jacengine.plans import planning
from jacengine.plans.plan import Plan
from jacengine.plans.process_cache import ProcessCache
from tests.problems import mlp, randn


class CubeByNumPy(torch.autograd.Function):
    """A cube whose gradient is computed by NumPy, and so is a constant to autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        factor = torch.from_numpy(3 * x.detach().numpy() ** 2)
        return grad_outputs[0] * factor


class CubeOnce(torch.autograd.Function):
    """A cube whose gradient says that it has no derivative, which torch ignores."""

    forward = CubeByNumPy.forward

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> Tensor:
        return CubeByNumPy.backward(ctx, *grad_outputs)


X = randn(3, 4)


def applied(function: Any, x: Tensor) -> Tensor:
    result: Tensor = function.apply(x)
    return result


def by_numpy(x: Tensor) -> Tensor:
    return applied(CubeByNumPy, x).sum(-1)


def only_once(x: Tensor) -> Tensor:
    return (x * applied(CubeOnce, x)).sum(-1)


def partly_by_numpy(x: Tensor) -> Tensor:
    return by_numpy(x) + x.sin().sum(-1)


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return by_numpy(x * self.w)


Call = Callable[[Callable[[Tensor], Tensor]], object]
CALLS: dict[str, Call] = {
    "hessian": lambda f: jacengine.hessian(f, X, batch_dim=0),
    "diagonal": lambda f: jacengine.hessian_diagonal(f, X, batch_dim=0),
    "laplacian": lambda f: jacengine.laplacian(f, X),
}


@pytest.mark.parametrize("fn", [by_numpy, partly_by_numpy, only_once])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_lost_derivative_of_a_gradient_is_warned_of(
    call: Call, fn: Callable[[Tensor], Tensor]
) -> None:
    with pytest.warns(UserWarning, match="finite differences differ"):
        call(fn)


def test_warning_comes_with_a_cached_choice_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):
        monkeypatch.setattr(
            planning, "_PLANS", ProcessCache[Plan](lambda plan: plan.problem)
        )
        with pytest.warns(UserWarning, match="finite differences differ"):
            jacengine.hessian(lambda x: 2 * by_numpy(x), X, batch_dim=0)


def test_warning_comes_with_a_saved_choice_too(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    named: Any = {"batch_dim": 0, "quantity": "hessian"}
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.plan(by_numpy, X, **named).save(path)
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.load_plan(path, by_numpy, X, **named)


def partly_detached(x: Tensor) -> Tensor:
    return (x.sin() * x.detach()).sum(-1)


def test_products_with_a_hessian() -> None:
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.hvp(partly_detached, X, vector=torch.ones_like(X), batch_dim=0)
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.operator(partly_detached, X, quantity="hessian", batch_dim=0)


def test_parameters() -> None:
    with pytest.warns(UserWarning, match="finite differences differ"):
        jacengine.hessian(Weighted(), X, wrt="params", batch_dim=0)


class Referring(nn.Module):
    """A module that uses its parameter through a closure, too."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(randn(4))
        w = self.w
        self.other: Callable[[], Tensor] = lambda: w

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.w * self.other()).sin().sum(-1)


RIGHT: dict[str, tuple[Callable[[Tensor], Tensor], Any]] = {
    "smooth": (lambda x: (x.sin() * x.exp()).sum(-1), 0),
    "linear": (lambda x: x.sum(-1), 0),
    "ReLU": (nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1)).double(), 0),
    "ReLU, single": (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)), 0),
    "network by parameters": (mlp(4, 8, 1), "params"),
    "used by a closure": (Referring(), "params"),
}


@pytest.mark.parametrize("call", ["hessian", "laplacian"])
@pytest.mark.parametrize("name", RIGHT)
def test_no_warning_of_what_is_right(name: str, call: Any) -> None:
    fn, wrt = RIGHT[name]
    x = X.float() if name == "ReLU, single" else X
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jacengine.plan(fn, x, wrt=wrt, batch_dim=0, quantity=call, effort="none")


cdist: Any = torch.cdist
UNDIFFERENTIABLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "hardsigmoid": (
        lambda x: (nn.functional.hardsigmoid(x) * x).sum(-1),
        "hardsigmoid_backward",
    ),
    "cdist": (lambda x: cdist(x, 2 * x).sum(-1), "_cdist_backward"),
}


@pytest.mark.parametrize("quantity", ["hessian", "hessian_diagonal", "laplacian"])
@pytest.mark.parametrize("name", UNDIFFERENTIABLE)
def test_operator_without_a_second_derivative_is_named(
    name: str, quantity: Any
) -> None:
    fn, operator = UNDIFFERENTIABLE[name]
    with pytest.raises(UnsupportedError, match=operator):
        jacengine.plan(fn, X, quantity=quantity)


class Failing(torch.autograd.Function):
    """Its backward pass records a node that fails, as some of torch's do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return applied(FailingBackward, 3 * ctx.saved_tensors[0] ** 2 * grad_outputs[0])


class FailingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        raise RuntimeError("Expected a proper Tensor but got None")


@pytest.mark.parametrize("call", CALLS)
def test_a_failing_backward_pass_is_named(call: str) -> None:
    said = r"FailingBackwardBackward fails\. (.|\n)*got None"
    with pytest.raises(UnsupportedError, match=said):
        CALLS[call](lambda x: applied(Failing, x).sum(-1))
