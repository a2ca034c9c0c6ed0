"""Every strategy and `auto` on every workload's small size: `pytest bench`.

    pytest bench --benchmark-only -k robot_arm

A benchmark times what a plan does on every call but the first, after selection,
verification and preparation. `jacengine bench` compares with other libraries too, in
interleaved rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import jacengine
from jacengine.bench.comparison import plan_for
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.problem.quantity import PARTS

METHODS = dict.fromkeys(
    name for quantity in PARTS for name in jacengine.list_strategies(quantity)
)
# Warnings of PyTorch about operators that are slow under vmap.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.benchmark(min_rounds=3, max_time=0.5)
@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_speed(benchmark: BenchmarkFixture, workload: Workload, method: str) -> None:
    """Time one method on one workload."""
    spec = workload.build(workload.sizes[0])
    run = _plan(spec, method)
    benchmark.group = f"{workload.name} {workload.sizes[0]}"
    benchmark.extra_info["origin"] = workload.origin
    benchmark(run, *spec.args)


def _plan(spec: DerivativeSpec, method: str) -> Callable[..., Any]:
    """Plan with a chunk that fits; skip methods that do not apply."""
    try:
        plan = plan_for(spec, strategies=None if method == "auto" else [method])
    except jacengine.JacengineError as error:
        pytest.skip(" ".join(str(error).split()))
    plan(*spec.args)
    return plan
