"""Parameter Jacobians against memory bandwidth, libraries, a loop and training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from jacengine.bench import parameter_runs as runs
from jacengine.bench.claims import Claim
from jacengine.bench.comparison import (
    COMPILED,
    COMPUTED,
    LIBRARIES,
    PLAN,
    Comparison,
    RunBuilder,
    baselines,
    compare,
    interleave,
    parametrize,
    prepared_runs,
)
from jacengine.bench.workload import DerivativeSpec, Workload, seeded
from jacengine.bench.workloads import WORKLOADS
from jacengine.bench.workloads.models import mlp, mlp_in_jax
from jacengine.bench.workloads.networks import LastState, transformer_layer
from jacengine.peak_memory import peak_memory

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

PER_SAMPLE = (
    "vmap(jacrev)",
    "backpack.BatchGrad",
    "backpack.SqrtGGNExact",
    "opacus.GradSampleModule",
    "ExpandedWeights",
)
"""Libraries of per-sample gradients."""
ANY = (*PER_SAMPLE, "functional.jacobian", "torch.func.jacrev")
"""With those that treat samples as further outputs, and need no rules for layers."""


def _workload(make: Callable[[], nn.Module], *shape: int, **options: Any) -> Workload:
    """Return a network by its parameters, on random samples of a shape."""

    def build(n: int) -> DerivativeSpec:
        return DerivativeSpec(make(), (torch.randn(n, *shape),), "params")

    return Workload("", "", "", "samples", (2, 3, 4), 2, seeded(build), **options)


def _perceptron(*sizes: int) -> Workload:
    return _workload(lambda: mlp(*sizes), sizes[0], jax_function=mlp_in_jax)


def _named(name: str) -> Workload:
    return next(workload for workload in WORKLOADS if workload.name == name)


def _convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def _recurrent() -> nn.Module:
    return nn.Sequential(LastState(), nn.Linear(24, 4))


_TEN_OUTPUTS = _perceptron(64, 64, 64, 10)
_ONE_OUTPUT = _perceptron(64, 128, 128, 1)
_CONVNET = _workload(_convnet, 3, 16, 16)
_NOT_SLOWER = Claim(PLAN, LIBRARIES, 1.0, speedup=True)
_FASTEST = Claim(COMPILED, LIBRARIES, 1.0, speedup=True)


def _written(
    name: str, work: str, workload: Workload, size: int, fill: float, *claims: Claim
) -> Comparison:
    """Compare with filling the memory of the result."""
    plans = (runs.INTO, runs.INTO_COMPILED, runs.FLAT)
    fills = tuple(Claim(plan, runs.FILL, fill) for plan in plans)
    claims = (*fills, Claim(PLAN, runs.ALLOCATE, 1.2), *claims)
    libraries = baselines(*PER_SAMPLE)
    work = f"{work}, written"
    return Comparison(name, work, workload, size, runs.WRITTEN, libraries, claims)


def _layered(name: str, work: str, workload: Workload, size: int) -> Comparison:
    """Compare with every library, on a network that is not just a sequence."""
    libraries, claims = baselines(*ANY), (_NOT_SLOWER, _FASTEST)
    return Comparison(name, work, workload, size, COMPUTED, libraries, claims)


COMPARISONS: tuple[Comparison, ...] = (
    _written(
        "mlp_ten_outputs",
        "MLP 64-64-64-10",
        _TEN_OUTPUTS,
        500,
        1.3,
        Claim(runs.INTO, LIBRARIES, 2.5, speedup=True),
    ),
    _written("mlp_one_output", "MLP 64-128-128-1", _ONE_OUTPUT, 1000, 1.5),
    Comparison(
        "quasi_linear_conv3d",
        "Conv3d 1-2-1 with ReLU on 6x6x6",
        _named("quasi_linear_conv3d"),
        1000,
        COMPUTED | {runs.NAIVE: runs.naive_loop},
        baselines(*PER_SAMPLE),
        (
            Claim(PLAN, runs.NAIVE, 700, speedup=True),
            Claim(PLAN, "vmap(jacrev)", 1.0, speedup=True),
        ),
    ),
    Comparison(
        "scalar_convnet",
        "Conv2d 1-8-8 on 10x10, summed",
        _named("monte_carlo"),
        1000,
        COMPUTED | {runs.NAIVE: runs.naive_loop, runs.STEP: runs.training_step},
        baselines(*PER_SAMPLE, "jax.jit(jacrev)"),
        (
            Claim(PLAN, runs.NAIVE, 100, speedup=True),
            Claim(PLAN, runs.STEP, 1.0),
            _NOT_SLOWER,
            _FASTEST,
        ),
    ),
    Comparison(
        "convnet",
        "Conv2d 3-16-32 with pooling on 16x16, 10 classes",
        _CONVNET,
        128,
        COMPUTED,
        baselines(*PER_SAMPLE),
        (Claim(PLAN, LIBRARIES, 1.5, speedup=True), _FASTEST),
    ),
    _layered(
        "transformer",
        "transformer encoder layer, width 32, 4 tokens",
        _workload(transformer_layer, 4, 32),
        8,
    ),
    _layered("lstm", "LSTM 6-24, 8 steps, 4 outputs", _workload(_recurrent, 8, 6), 32),
    _layered(
        "tied_weights",
        "autoencoder 32-16-32 with one weight",
        _workload(runs.TiedAutoencoder, 32),
        64,
    ),
    _layered(
        "called_twice",
        "a layer called twice, 32-32-32-10",
        _workload(runs.RepeatedLayer, 32),
        128,
    ),
    _layered(
        "own_layer",
        "a user-defined layer without a rule, 32-64-64-10",
        _workload(lambda: runs.scaled_network(runs.Scale), 32),
        128,
    ),
    _layered(
        "own_layer_with_rule",
        "the same layer with a rule",
        _workload(lambda: runs.scaled_network(runs.ScaleWithRule), 32),
        128,
    ),
    Comparison(
        "tangent_kernel",
        "tangent kernel of MLP 64-128-128-10",
        _perceptron(64, 128, 128, 10),
        32,
        runs.KERNEL,
        claims=(
            Claim(runs.GRAM_AT, runs.FORMED, 30, speedup=True),
            Claim(runs.GRAM, runs.FORMED, 30, speedup=True),
        ),
    ),
)

_PEAK = Claim("peak beyond out", "inputs and cotangents", 1.0)
_INTO: dict[str, RunBuilder] = {runs.INTO: runs.into}
MEMORY: tuple[Comparison, ...] = tuple(
    Comparison(f"memory_{name}", f"{work}, into out=", workload, size, _INTO)
    for name, work, workload, size in (
        ("mlp_ten_outputs", "MLP 64-64-64-10", _TEN_OUTPUTS, 500),
        ("mlp_one_output", "MLP 64-128-128-1", _ONE_OUTPUT, 1000),
        ("convnet", "Conv2d 3-16-32 with pooling", _CONVNET, 128),
    )
)


@parametrize(COMPARISONS)
def test_parameters(
    benchmark: BenchmarkFixture, comparison: Comparison, run: str
) -> None:
    """Time a run of a comparison."""
    compare(benchmark, comparison, run)


@pytest.mark.parametrize("comparison", MEMORY, ids=lambda comparison: comparison.name)
def test_peak_memory(benchmark: BenchmarkFixture, comparison: Comparison) -> None:
    """Compare the peak beyond `out` with inputs and cotangents of all layers."""
    prepared = prepared_runs(comparison)
    run, needed = prepared[runs.INTO], runs.inputs_and_cotangents_bytes(prepared.spec)
    with peak_memory(torch.device("cpu")) as peak:
        run.call()
    comparison.describe(benchmark)
    benchmark.extra_info["claims"] = [_PEAK.record(peak.bytes, needed)]
    interleave(benchmark, run, {})
