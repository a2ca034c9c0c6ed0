"""Methods of other libraries, as baselines; never candidates of `auto`."""

from __future__ import annotations

from functools import partial
from typing import get_args

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.jax_compiled import JAX_HESSIANS, JAX_JACOBIANS
from jacengine.bench.baselines.per_sample_gradients import PER_SAMPLE_GRADIENTS
from jacengine.bench.baselines.torch_hessians import HESSIANS
from jacengine.bench.baselines.torch_jacobians import JACOBIANS
from jacengine.bench.reference import reference
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import Quantity

__all__ = ["BASELINES", "Baseline", "Prepared"]


def _double_loop(_: Workload, spec: DerivativeSpec) -> Prepared:
    return Prepared(partial(reference, spec))


BASELINES: tuple[Baseline, ...] = (
    Baseline(
        "double loop",
        "PyTorch forum, t/23494",
        _double_loop,
        frozenset(get_args(Quantity)),
        smoke_test=False,
    ),
    *JACOBIANS,
    *PER_SAMPLE_GRADIENTS,
    *JAX_JACOBIANS,
    *HESSIANS,
    *JAX_HESSIANS,
)
"""In the order in which tables show them."""
