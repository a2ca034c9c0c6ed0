"""Sparse Jacobians and Hessians, against dense ones and against asdex.

python -m pytest bench/test_sparse.py --benchmark-only --benchmark-json=out.json
python -m jacengine.bench.claims out.json
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import jacengine
from jacengine.bench.baselines.sparse_jax import ASDEX
from jacengine.bench.claims import Claim
from jacengine.bench.comparison import (
    LIBRARIES,
    Comparison,
    Run,
    baselines,
    compare,
    computed,
    parametrize,
    plan_for,
)
from jacengine.bench.workload import DerivativeSpec
from jacengine.bench.workloads.sparse import SPARSE

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore"),
]

PLAN, COMPILED = "sparse plan", "sparse plan, compiled"
DENSE, COMPILED_DENSE = "plan", "plan, compiled"
BY_NAME = {workload.name: workload for workload in SPARSE}
DENSE_LIBRARIES = (
    *("torch.func.jacrev", "torch.func.jacfwd", "jax.jit(jacrev)", "jax.jit(jacfwd)"),
)


def _values(spec: DerivativeSpec, **options: Any) -> Run:
    return computed(spec, layout="values", **options)


def _compiled_values(spec: DerivativeSpec) -> Run:
    return _values(spec, compiled=True)


def _compiled_dense(spec: DerivativeSpec) -> Run:
    return computed(spec, compiled=True)


def _expected_values(spec: DerivativeSpec) -> Any:
    return plan_for(spec, layout="values")(*spec.args)


def _expected_dense(spec: DerivativeSpec) -> Any:
    return plan_for(spec, sparsity=None)(*spec.args)


def _dense_result(name: str, size: int, speedup: float) -> Comparison:
    """Compare plans with a dense result."""
    return Comparison(
        f"{name}_dense",
        BY_NAME[name].origin,
        BY_NAME[name],
        size,
        {
            DENSE: computed,
            COMPILED_DENSE: _compiled_dense,
            PLAN: _values,
            COMPILED: _compiled_values,
        },
        baselines(*DENSE_LIBRARIES),
        (
            Claim(DENSE, LIBRARIES, speedup, speedup=True),
            Claim(COMPILED_DENSE, LIBRARIES, speedup, speedup=True),
            Claim(PLAN, LIBRARIES, speedup, speedup=True),
            Claim(COMPILED, LIBRARIES, speedup, speedup=True),
        ),
        expected=_expected_dense,
    )


def _sparse_result(name: str, size: int) -> Comparison:
    """Compare plans with a sparse result."""
    return Comparison(
        f"{name}_sparse",
        BY_NAME[name].origin,
        BY_NAME[name],
        size,
        {PLAN: _values, COMPILED: _compiled_values},
        (ASDEX,),
        (
            Claim(PLAN, ASDEX.name, 1.0, speedup=True),
            Claim(COMPILED, ASDEX.name, 1.0, speedup=True),
        ),
        expected=_expected_values,
    )


def _comparisons() -> Iterator[Comparison]:
    yield _dense_result("heat_equation", 1000, 3.0)
    yield _dense_result("sparse_brusselator", 48, 300.0)
    yield _dense_result("image_convolution", 64, 200.0)
    yield from (
        _sparse_result(workload.name, size)
        for workload in SPARSE
        for size in workload.sizes
    )


@parametrize(_comparisons())
def test_sparse(benchmark: BenchmarkFixture, comparison: Comparison, run: str) -> None:
    """Time a run of a comparison."""
    compare(benchmark, comparison, run)


@pytest.mark.parametrize("workload", SPARSE, ids=lambda workload: workload.name)
def test_detection(benchmark: BenchmarkFixture, workload: Any) -> None:
    """Time the detection and the colouring of a pattern."""
    spec = workload.build(workload.sizes[-1])
    options = replace(spec).options
    benchmark.group = "detection"

    def detect() -> jacengine.Pattern:
        found = jacengine.sparsity(spec.fn, *spec.args, **options)
        assert found.colors > 0
        return found

    pattern = detect()
    benchmark.extra_info |= {
        "nnz": pattern.nnz,
        "colors": pattern.colors,
        "origin": pattern.origin,
    }
    pedantic: Any = benchmark.pedantic
    pedantic(detect, rounds=5)
