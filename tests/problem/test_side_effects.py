"""Whatever a strategy does, and however it ends, the user's world is as it was."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import jacengine
from jacengine import UnsupportedError
from tests.conftest import global_state
from tests.problems import OF_INPUTS, OF_PARAMETERS, randn

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


ANY_MODULE = {"reverse_loop", "batched_grad", "double_vjp"}
"""The strategies that run modules which write their buffers."""


class Stubborn(torch.autograd.Function):
    """A square that plain reverse mode can differentiate, and nothing else can."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return 2 * x * grad_outputs[0] * float(grad_outputs[0].isfinite().all())


class Calls:
    """A count that is no attribute of a module, which would be restored."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Net(nn.Module):
    """A module whose passes change it: running statistics, power iterations, hooks.

    Attributes:
        kind: `"plain"` changes nothing, so that every strategy can run it; `"stubborn"`
            is a `"stateful"` one with an operator that few strategies support.
        fails_at: The call that raises; none if 0.
    """

    def __init__(self, kind: str = "stateful", *, fails_at: int = 0) -> None:
        super().__init__()
        self.kind, self.fails_at, self.calls = kind, fails_at, Calls()
        self.linear = nn.Linear(3, 4, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(4, dtype=torch.float64)
        self.frozen = nn.BatchNorm1d(4, dtype=torch.float64).eval()
        self.linear.register_forward_hook(lambda *_: None)
        if kind == "plain":
            self.norm.eval()
        else:
            nn.utils.parametrizations.spectral_norm(self.linear)
            self.norm.register_full_backward_pre_hook(lambda *_: None)
        for parameter in self.parameters():
            parameter.grad = torch.full_like(parameter, 7)
        self.frozen.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls.count += 1
        if self.calls.count == self.fails_at:
            raise ValueError("this call fails")
        h = self.frozen(self.norm(self.linear(x)))
        stubborn: Callable[[Tensor], Tensor] = Stubborn.apply
        return stubborn(h) if self.kind == "stubborn" else h * h


def trace(module: Net, x: Tensor) -> dict[str, object]:
    """Read everything that must be as it was."""
    tensors = {
        **dict(module.named_parameters()),
        **dict(module.named_buffers()),
        "input": x,
    }
    found: dict[str, object] = {"global": global_state()}
    found["generator"] = torch.get_rng_state().numpy().tobytes()
    for name, tensor in tensors.items():
        grad = tensor.grad
        found[f"{name}: object"] = id(tensor)
        found[f"{name}: values"] = tensor.detach().numpy().tobytes()
        found[f"{name}: requires_grad"] = tensor.requires_grad
        found[f"{name}: grad"] = None if grad is None else (id(grad), grad.tolist())
        found[f"{name}: hooks"] = repr(tensor._backward_hooks)
    for name, tensor in (*module.named_parameters(), ("input", x)):
        found[f"{name}: version"] = tensor._version
    for name, child in module.named_modules():
        found[f"{name}: training"] = child.training
        found[f"{name}: attributes"] = sorted(vars(child))
        for hooks in HOOKS:
            found[f"{name}: {hooks}"] = [*map(id, vars(child)[hooks].values())]
    return found


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    keys = before.keys() | after.keys()
    return sorted(key for key in keys if before.get(key) != after.get(key))


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("kind", ["plain", "stateful"])
@pytest.mark.parametrize(
    ("strategy", "wrt"),
    [
        *((strategy, "inputs") for strategy in OF_INPUTS),
        *((strategy, "params") for strategy in OF_PARAMETERS),
    ],
)
def test_after_a_call(
    strategy: str, wrt: str, kind: str, *, create_graph: bool
) -> None:
    module, x = Net(kind), randn(5, 3)
    before = trace(module, x)
    answered = True
    try:
        jacengine.jacobian(
            module, x, wrt=wrt, strategy=strategy, create_graph=create_graph
        )
    except UnsupportedError:
        answered = False
    assert changes(before, trace(module, x)) == []
    assert answered or (kind == "stateful" and strategy not in ANY_MODULE)


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
@pytest.mark.parametrize("wrt", ["inputs", "params"])
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_after_a_call_that_raises(strategy: str, wrt: str, fails_at: int) -> None:
    module, x = Net(fails_at=fails_at), randn(5, 3)
    before = trace(module, x)
    with contextlib.suppress(ValueError, UnsupportedError):
        jacengine.jacobian(module, x, wrt=wrt, strategy=strategy)
    assert module.calls.count >= min(fails_at, 2), (
        "the function was not called that often"
    )
    assert changes(before, trace(module, x)) == []


@pytest.mark.parametrize("wrt", ["inputs", "params"])
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_after_an_unsupported_operator(strategy: str, wrt: str) -> None:
    module, x = Net("stubborn"), randn(5, 3)
    before = trace(module, x)
    answered = True
    try:
        jacengine.jacobian(module, x, wrt=wrt, strategy=strategy)
    except UnsupportedError:
        answered = False
    assert changes(before, trace(module, x)) == []
    assert answered == (
        strategy == "reverse_loop" or (strategy, wrt) == ("quasi_linear", "params")
    )


@pytest.mark.parametrize("effort", ["none", "quick"])
@pytest.mark.parametrize("kind", ["plain", "stateful", "stubborn"])
def test_after_a_plan(effort: Any, kind: str) -> None:
    module, x = Net(kind), randn(5, 3)
    before = trace(module, x)
    made = jacengine.plan(module, x, wrt="inputs", effort=effort)
    assert changes(before, trace(module, x)) == []
    made(x)
    made.explain()
    assert changes(before, trace(module, x)) == []


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_random_state_goes_on_as_if_nothing_had_been(strategy: str) -> None:
    module, x = nn.Dropout(0.5), randn(5, 3)
    before = torch.get_rng_state()
    try:
        jacengine.jacobian(module, x, strategy=strategy, randomness="same")
    except UnsupportedError:
        assert strategy in {"repeat", "double_vjp_repeat"}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strategy", ["reverse_loop", "forward_dual", "quasi_linear"])
def test_running_statistics(strategy: str) -> None:
    norm, x = nn.BatchNorm1d(3, dtype=torch.float64), randn(5, 3)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    jacengine.jacobian(norm, x, wrt="params", batch_dim=0, strategy=strategy)
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_hooks_of_the_user_run_and_stay() -> None:
    seen: list[int] = []
    module, x = nn.Linear(3, 2, dtype=torch.float64), randn(5, 3)
    module.register_forward_hook(lambda *_: seen.append(1))
    jacengine.jacobian(module, x, wrt="params", batch_dim=0, strategy="quasi_linear")
    during = len(seen)
    assert during > 0
    module(x)
    assert len(seen) == during + 1


def test_grad_mode_is_the_callers_after_a_failure() -> None:
    with torch.no_grad():
        module = Net(fails_at=3)
        with pytest.raises((ValueError, UnsupportedError), match="this call fails"):
            jacengine.jacobian(module, randn(5, 3), strategy="forward_dual")
        assert not torch.is_grad_enabled()


def test_a_layer_with_two_names_keeps_its_parameters() -> None:
    """`torch.func.functional_call` of torch 2.13 does not put them back."""
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    weight, bias = layer.weight, layer.bias
    x = torch.randn(3, 2)
    for strategy in OF_PARAMETERS:
        jacengine.jacobian(model, x, wrt="params", batch_dim=0, strategy=strategy)
        assert layer.weight is weight
        assert layer.bias is bias
