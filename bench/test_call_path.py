"""What a call takes beyond its kernel: plans, `auto` and the like, fresh closures.

    python -m pytest bench/test_call_path.py --benchmark-only --benchmark-json=out.json
    python -m jacengine.bench.claims out.json

A call and what it should cost no more than are timed in turn; the difference of the
medians is the overhead. Every function is small, so that it is not lost in noise.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

import jacengine
from jacengine.bench.comparison import OWN, Run, interleave

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

CALLS = 20
"""Calls that are timed together."""
Call = Callable[[], object]
Calls = tuple[Call, Call]
"""What is timed, and what is in it."""


@dataclass(frozen=True)
class CallPath:
    """A way to call, and its target.

    Attributes:
        name: What is called.
        beyond: What its time is compared with.
        target_us: The overhead that it may have, in microseconds.
        prepare: Makes both calls.
    """

    name: str
    beyond: str
    target_us: float
    prepare: Callable[[], Calls]


def _perceptron(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _small() -> tuple[nn.Sequential, Tensor]:
    return _perceptron(8, 64, 3), torch.randn(256, 8)


def _energy() -> tuple[nn.Sequential, Tensor]:
    return _perceptron(32, 128, 128, 1), torch.randn(64, 32)


def _twice(x: Tensor) -> Tensor:
    return 2 * x


def _doubled() -> Calls:
    x = torch.randn(6)
    plan = jacengine.plan(_twice, x)
    return functools.partial(plan, x), lambda: torch.func.jacrev(_twice)(x)


def _same_module() -> Calls:
    model, x = _small()
    plan = jacengine.plan(model, x, batch_dim=0)
    return lambda: jacengine.auto(model, x, batch_dim=0), lambda: plan(x)


def _lambda() -> Calls:
    model, x = _small()
    plan = jacengine.plan(model, x, batch_dim=0)
    return (
        lambda: jacengine.auto(lambda v: model(v), x, batch_dim=0),  # noqa: PLW0108
        lambda: plan(x),
    )


def _bound_method() -> Calls:
    model, x = _small()
    plan = jacengine.plan(model, x, batch_dim=0)
    return lambda: jacengine.auto(model.forward, x, batch_dim=0), lambda: plan(x)


def _partial() -> Calls:
    model, x = _small()
    plan = jacengine.plan(model, x, batch_dim=0)
    partial = functools.partial
    return lambda: jacengine.auto(partial(model), x, batch_dim=0), lambda: plan(x)


def _by_name() -> Calls:
    model, x = _small()
    name = "vmap_vjp"
    plan = jacengine.plan(model, x, batch_dim=0, strategies=[name], effort="none")
    return (
        lambda: jacengine.jacobian(model, x, strategy=name, batch_dim=0),
        lambda: plan(x),
    )


def _second_order(quantity: Any, compute: Callable[..., Any]) -> Calls:
    net, x = _energy()
    plan = jacengine.plan(lambda v: net(v)[..., 0], x, batch_dim=0, quantity=quantity)
    return (
        lambda: compute(lambda v: net(v)[..., 0], x, batch_dim=0),
        lambda: plan(x),
    )


def _operator() -> Calls:
    net, x = _energy()
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    known = jacengine.operator(net, x, **options)
    return (
        lambda: jacengine.operator(net, x, **options).gram(),
        lambda: known.at(x).gram(),
    )


def _many_modules() -> Calls:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4)) for _ in range(200)))
    x = torch.randn(2, 4)
    plan = jacengine.plan(model, x, batch_dim=0)
    return (
        lambda: jacengine.auto(lambda v: model(v), x, batch_dim=0),  # noqa: PLW0108
        lambda: plan(x),
    )


PATHS = (
    CallPath("plan of 2 * x", "torch.func.jacrev", 0, _doubled),
    CallPath("auto, the same module", "plan(x)", 20, _same_module),
    CallPath("auto, a fresh lambda", "plan(x)", 50, _lambda),
    CallPath("auto, a bound method", "plan(x)", 50, _bound_method),
    CallPath("auto, a fresh partial", "plan(x)", 50, _partial),
    CallPath("jacobian(strategy=)", "plan(x)", 20, _by_name),
    CallPath(
        "laplacian of a fresh lambda",
        "plan(x)",
        50,
        lambda: _second_order("laplacian", jacengine.laplacian),
    ),
    CallPath(
        "hessian of a fresh lambda",
        "plan(x)",
        50,
        lambda: _second_order("hessian", jacengine.hessian),
    ),
    CallPath("operator(...).gram()", "op.at(x).gram()", 20, _operator),
    CallPath("auto, a lambda on 400 modules", "plan(x)", 60, _many_modules),
)


def _repeated(call: Call) -> Run:
    def run() -> None:
        for _ in range(CALLS):
            call()

    return Run(run, 1 / CALLS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_call_path(benchmark: BenchmarkFixture, path: CallPath) -> None:
    """Time a way to call, interleaved with what is in it."""
    call, inside = path.prepare()
    benchmark.group = "call path"
    medians = interleave(benchmark, _repeated(call), {path.beyond: _repeated(inside)})
    if medians:
        overhead = (medians[OWN] - medians[path.beyond]) * 1e6
        benchmark.extra_info["overhead"] = {
            "call": path.name,
            "call_us": medians[OWN] * 1e6,
            "beyond": path.beyond,
            "beyond_us": medians[path.beyond] * 1e6,
            "overhead_us": overhead,
            "target_us": path.target_us,
            "met": overhead <= path.target_us,
        }
