"""Plugins that change what is the user's: found out, and everything put back."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import NoStrategyError, Point, StrategyError
from jacengine._torch_private import version_of
from jacengine.interface import LinearMap
from jacengine.strategies.reverse_loop import ReverseLoop
from tests.broken_strategies import Forward, Reverse, meddling
from tests.contract.compare import assert_same
from tests.problems import mlp, plan_among, randn

OTHER = torch.zeros(3)


def set_grads(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)


@torch.no_grad()
def double_values(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.mul_(2)


def double_past_autograd(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.detach().numpy()[...] *= 2


def replace_parameter(module: nn.Module) -> None:
    layer: Any = next(module.children())
    layer.weight = nn.Parameter(layer.weight.detach().clone())


def add_attribute(module: nn.Module) -> None:
    vars(module)["stray"] = 1


def first_parameter(module: nn.Module) -> Tensor:
    return next(module.parameters())


MEDDLES: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "gradients": (set_grads, "gradients"),
    "requires_grad": (lambda m: m.requires_grad_(False), "requires_grad"),
    "training": (lambda m: m.eval(), "training flags"),
    "forward hook": (lambda m: m.register_forward_hook(lambda *_: None), "hooks"),
    "backward hook": (
        lambda m: m.register_full_backward_hook(lambda *_: None),
        "hooks|setup_context",  # torch.func cannot run it
    ),
    "tensor hook": (lambda m: first_parameter(m).register_hook(lambda g: g), "hooks"),
    "values": (double_values, "tensors of the function"),
    "values past autograd": (double_past_autograd, "tensors of the function"),
    "parameter": (replace_parameter, "parameters"),
    "buffer": (lambda m: m.register_buffer("extra", OTHER), "_buffers"),
    "attribute": (add_attribute, "'stray'"),
    "default dtype": (
        lambda _: torch.set_default_dtype(torch.float64),
        "default dtype",
    ),
    "grad mode": (lambda _: torch.set_grad_enabled(False), "grad mode"),
    "threads": (lambda _: torch.set_num_threads(2), "number of threads"),
    "deterministic": (
        lambda _: torch.use_deterministic_algorithms(True),
        "deterministic",
    ),
    "anomaly": (lambda _: torch.autograd.set_detect_anomaly(True), "anomaly"),
    "oneDNN": (lambda _: torch._C._set_mkldnn_enabled(False), "oneDNN"),
}


def state_of(module: nn.Module) -> list[object]:
    found: list[object] = [torch.get_rng_state().tolist()]
    for inside in module.modules():
        for name, value in vars(inside).items():
            items = list(value.items()) if isinstance(value, dict) else value
            found.append((id(inside), name, str(items)))
    for p in module.parameters():
        hooks = len(p._backward_hooks or ())
        found.append((id(p), p.tolist(), p.requires_grad, p.grad, version_of(p), hooks))
    return found


def model() -> nn.Module:
    torch.manual_seed(0)
    return mlp(3, 4, 2)


Use = Callable[[Any, nn.Module, Tensor], object]
USES: dict[str, tuple[Use, type[Exception]]] = {
    "named": (
        lambda s, m, x: jacengine.jacobian(m, x, batch_dim=0, strategy=s),
        StrategyError,
    ),
    "plan": (
        lambda s, m, x: plan_among([s], m, x, batch_dim=0, effort="none"),
        NoStrategyError,
    ),
    "parameters": (
        lambda s, m, x: plan_among([s], m, x, batch_dim=0, wrt="params"),
        NoStrategyError,
    ),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", MEDDLES)
def test_what_a_plugin_changes_is_put_back(name: str, use: str) -> None:
    meddle, said = MEDDLES[name]
    run, error = USES[use]
    module, x = model(), randn(5, 3)
    before, values = state_of(module), x.clone()
    with pytest.raises(error, match=said.replace(" ", r"\s+")):
        run(Reverse(meddling(lambda _: meddle(module))), module, x)
    assert state_of(module) == before
    assert torch.equal(x, values)


@pytest.mark.parametrize("kind", [Forward, Reverse])
@pytest.mark.parametrize("wrt", [0, "params"])
def test_primals_that_are_written(wrt: Any, kind: Any) -> None:
    def double(point: Point) -> None:
        for primal in point.primals:
            primal.detach().mul_(2)

    module, x = model(), randn(5, 3)
    before, values = state_of(module), x.clone()
    with pytest.raises(StrategyError, match="changes what is the user's"):
        jacengine.jacobian(
            module, x, wrt=wrt, batch_dim=0, strategy=kind(meddling(double))
        )
    assert state_of(module) == before
    assert torch.equal(x, values)
    assert version_of(x) == 0


@pytest.mark.parametrize("name", MEDDLES)
def test_the_next_candidate_is_taken(name: str) -> None:
    meddle, _ = MEDDLES[name]
    module, x = model(), randn(5, 3)
    before = state_of(module)
    faulty = Reverse(meddling(lambda _: meddle(module)))
    plan = plan_among([faulty, ReverseLoop()], module, x, batch_dim=0)
    assert plan.strategy == "reverse_loop"
    assert_same(plan(x), jacengine.auto(module, x, batch_dim=0), 1e-12)
    assert state_of(module) == before


def test_a_plan_is_guarded_too() -> None:
    module, x = model(), randn(5, 3)
    calls, harmless = itertools.count(), 10**6

    def wrap(_: Point, right: LinearMap) -> LinearMap:
        if next(calls) >= harmless:
            double_values(module)
        return right

    plan = plan_among([Reverse(wrap)], module, x, batch_dim=0)
    harmless = 0
    before = state_of(module)
    with pytest.raises(StrategyError, match="faulty changes what is the user's"):
        plan(x)
    assert state_of(module) == before


def test_random_numbers_that_a_plugin_draws_are_given_back() -> None:
    module, x = model(), randn(5, 3)
    strategy = Reverse(meddling(lambda _: torch.rand(1)))
    before = torch.get_rng_state()
    jacengine.jacobian(module, x, batch_dim=0, strategy=strategy)
    assert torch.equal(torch.get_rng_state(), before)


class Counting(nn.Module):
    """A module that changes attributes and buffers itself."""

    steps: Tensor

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside
        self.calls = 0
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.steps = self.steps + 1
        result: Tensor = self.inside(x)
        return result


@pytest.mark.parametrize("kind", [Forward, Reverse])
@pytest.mark.parametrize("wrt", [0, "params"])
def test_what_the_function_changes_is_not_the_plugins(wrt: Any, kind: Any) -> None:
    module, x = Counting(nn.Sequential(mlp(3, 4), nn.Dropout(0.5))), randn(5, 3)
    steps = module.steps
    options: Any = {"wrt": wrt, "layout": "flat", "randomness": "same"}
    found = jacengine.jacobian(
        module, x, strategy=kind(meddling(lambda _: None)), **options
    )
    wanted = jacengine.jacobian(module, x, strategy="reverse_loop", **options)
    assert torch.allclose(found, wanted)
    assert module.steps is steps
    assert (module.calls, float(steps)) == (0, 0)
