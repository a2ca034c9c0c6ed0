"""Jacobians by inputs of networks with and without a bottleneck, against every library.

python -m pytest bench/test_elimination.py --benchmark-only --benchmark-json=out.json
python -m jacengine.bench.claims out.json
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from jacengine.bench.claims import Claim
from jacengine.bench.comparison import (
    Comparison,
    Run,
    baselines,
    compare,
    computed,
    parametrize,
)
from jacengine.bench.workload import DerivativeSpec, Workload, scale, seeded
from jacengine.bench.workloads.models import mlp, mlp_in_jax

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

EAGER, COMPILED = "elimination", "elimination, compiled"
TORCH, JAX = "best of torch.func", "best of jax.jit"
GROUPS = {
    TORCH: ("vmap(jacrev)", "vmap(jacfwd)"),
    JAX: ("jax.jit(jacrev)", "jax.jit(jacfwd)"),
}
NETWORKS: dict[tuple[int, ...], tuple[int, float, float]] = {
    (784, 128, 16, 128, 784): (32, 1.7, 3.0),
    (600, 100, 12, 100, 600): (16, 8.0, 4.0),
    (8, 64, 64, 256): (256, 1.7, 1.4),
    (6, 96, 96, 200): (100, 1.7, 1.4),
    (300, 128, 64, 4): (100, 1.7, 1.4),
    (64, 128, 128, 64): (64, 1.7, 1.4),
}
"""The number of samples for each network's widths, and the speedups to reach: eager
against PyTorch, compiled against JAX."""


def _planned(spec: DerivativeSpec) -> Run:
    return computed(spec, strategies=["elimination"])


def _compiled(spec: DerivativeSpec) -> Run:
    return computed(spec, strategies=["elimination"], compiled=True)


def _comparison(widths: tuple[int, ...]) -> Comparison:
    samples, eager, compiled = NETWORKS[widths]
    words = "-".join(map(str, widths))
    workload = Workload(
        name="network",
        origin=f"MLP {words}",
        use="A chain of linear and pointwise operators.",
        **scale("samples", samples, samples, samples, tiny=2),
        build=seeded(
            lambda n: DerivativeSpec(mlp(*widths), (torch.randn(n, widths[0]),))
        ),
        jax_function=mlp_in_jax,
    )
    return Comparison(
        f"network_{words.replace('-', '_')}",
        f"MLP {words}",
        workload,
        samples,
        {EAGER: _planned, COMPILED: _compiled},
        baselines(*GROUPS[TORCH], *GROUPS[JAX]),
        (
            Claim(EAGER, TORCH, eager, speedup=True),
            Claim(COMPILED, JAX, compiled, speedup=True),
        ),
        GROUPS,
    )


@parametrize(map(_comparison, NETWORKS))
def test_elimination(
    benchmark: BenchmarkFixture, comparison: Comparison, run: str
) -> None:
    """Time a run of a comparison."""
    compare(benchmark, comparison, run)
