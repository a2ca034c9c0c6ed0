"""What a call takes beyond its kernel: plans, `auto` and the like, fresh closures.

    python -m pytest bench/test_call_path.py --benchmark-only --benchmark-json=out.json
    python -m jacengine.bench.claims out.json

A call and what it should cost no more than are timed in turn; the difference of the
medians is the overhead. Every function is small, so that it is not lost in noise.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

import jacengine
from jacengine.bench.claims import Claim
from jacengine.bench.comparison import OWN, Run, interleave
from jacengine.bench.optional_libraries import load
from jacengine.bench.workloads.one_off import perceptron
from jacengine.bench.workloads.robots import quadrotor

# pyright: reportPrivateUsage=false

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

CALLS = 20
"""Calls that are timed together."""
WARM_UP, WARM_UP_S = 5000, 15.0
"""Calls before, and their seconds at most: often enough for the guarded path."""
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


def _small() -> tuple[nn.Sequential, Tensor]:
    return perceptron(8, 64, 3), torch.randn(256, 8)


def _energy() -> tuple[nn.Sequential, Tensor]:
    return perceptron(32, 128, 128, 1), torch.randn(64, 32)


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


def _quadrotor() -> tuple[jacengine.Plan, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    args = torch.randn(12) / 3, 1 + torch.rand(4)
    return jacengine.plan(quadrotor, *args, wrt=(0, 1), compiled=True), args


def _compiled() -> Calls:
    plan, args = _quadrotor()
    plan(*args)
    sweep = plan._sweep
    assert sweep is not None
    assert sweep._compiled is not None, "no compiled method was the fastest"
    with torch.no_grad():
        found = sweep._compiled._captures.find(quadrotor, args, {})
    assert found is not None
    programs, inputs = found
    (program,) = programs.values()
    return functools.partial(plan, *args), lambda: program(inputs, ())


PATHS = (
    CallPath("compiled plan of a quadrotor", "its program", 5, _compiled),
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
    until = time.perf_counter() + WARM_UP_S
    for _ in range(WARM_UP):
        call()
        if time.perf_counter() > until:
            break
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


def test_jax(benchmark: BenchmarkFixture) -> None:
    """Time one point of a quadrotor beside JAX, on its arrays and on tensors."""
    jax = pytest.importorskip("jax")
    dlpack = load("jax.dlpack")
    plan, args = _quadrotor()

    def function(state: Any, thrusts: Any) -> Any:
        return quadrotor(state, thrusts, load("jax.numpy"))

    compiled = {
        name: jax.jit(transform(function, argnums=(0, 1)))
        for name, transform in (("jacfwd", jax.jacfwd), ("jacrev", jax.jacrev))
    }
    arrays = tuple(map(dlpack.from_dlpack, args))

    def on_arrays(name: str) -> Run:
        return _repeated(lambda: jax.block_until_ready(compiled[name](*arrays)))

    def on_tensors(name: str) -> Run:
        def call() -> object:
            found = compiled[name](*map(dlpack.from_dlpack, args))
            return [from_dlpack(block) for block in found]

        return _repeated(call)

    benchmark.group = "call path"
    runs = {f"jax.jit({name})": on_arrays(name) for name in compiled}
    runs |= {f"jax.jit({name}) of tensors": on_tensors(name) for name in compiled}
    medians = interleave(benchmark, _repeated(functools.partial(plan, *args)), runs)
    benchmark.extra_info["work"] = "quadrotor, one point"
    own = "plan(compiled=True)"
    benchmark.extra_info["claims"] = [
        Claim(own, "jax.jit", 4 if "tensors" in name else 1, speedup=True).record(
            medians.get(OWN), medians.get(name), name
        )
        for name in runs
    ]
