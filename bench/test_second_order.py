"""Laplacians, Hessians and their diagonals against every library.

Of libraries that compute whole Hessians the trace or the diagonal is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from jacengine.bench.baselines import BASELINES
from jacengine.bench.claims import Claim
from jacengine.bench.comparison import (
    COMPILED,
    COMPUTED,
    LIBRARIES,
    PLAN,
    Comparison,
    compare,
    parametrize,
)
from jacengine.bench.workload import Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.problem.quantity import SECOND_ORDER, TITLES

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

MAPPED = "vmap(hessian)"
PYTORCH = "best of PyTorch's"
"""In a claim: what PyTorch documents for Hessians."""
GROUPS = {
    PYTORCH: (
        "torch.func.hessian",
        MAPPED,
        "functional.hessian",
        "functional.hessian(vectorize)",
    )
}


def _comparison(
    name: str, work: str, workload: Workload, size: int, *claims: Claim
) -> Comparison:
    quantity = workload.build(workload.tiny).quantity
    libraries = tuple(b for b in BASELINES if quantity in b.quantities)
    return Comparison(name, work, workload, size, COMPUTED, libraries, claims, GROUPS)


def _comparisons() -> Iterator[Comparison]:
    workloads = [w for w in WORKLOADS if w.build(w.tiny).quantity in SECOND_ORDER]
    perceptron = next(w for w in workloads if w.name == "mlp_laplacian")
    work, fourfold = "Laplacian of MLP d-128-128-1", Claim(PLAN, MAPPED, 4.0, True)
    yield (single := _comparison("laplacian", work, perceptron, 32, fourfold))
    work = f"{work} in float64"
    yield replace(single, name="laplacian_float64", work=work, dtype=torch.float64)
    for workload in workloads:
        title = TITLES[workload.build(workload.tiny).quantity]
        for size in workload.sizes[:2]:
            yield _comparison(
                f"{workload.name}_{size}",
                f"{title} of {workload.name}",
                workload,
                size,
                Claim(PLAN, PYTORCH, 1.0, speedup=True),
                # Against all of them, compiled JAX included.
                Claim(COMPILED, LIBRARIES, 1.0, speedup=True),
            )


COMPARISONS = tuple(_comparisons())


@parametrize(COMPARISONS)
def test_second_order(
    benchmark: BenchmarkFixture, comparison: Comparison, run: str
) -> None:
    """Time a run of a comparison."""
    compare(benchmark, comparison, run)
