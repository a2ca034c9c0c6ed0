"""Methods of other libraries, as baselines; never candidates of `auto`."""

from __future__ import annotations

from functools import partial
from typing import get_args

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.jax_compiled import JAX_HESSIANS, JAX_JACOBIANS
from jacengine.bench.baselines.per_sample_gradients import PER_SAMPLE_GRADIENTS
from jacengine.bench.baselines.torch_hessians import GRAD_TWICE, MAPPED_HVP
from jacengine.bench.baselines.torch_transforms import HESSIANS, JACOBIANS
from jacengine.bench.reference import reference
from jacengine.problem.quantity import Quantity

__all__ = ["BASELINES", "Baseline", "Prepared"]

BASELINES: tuple[Baseline, ...] = (
    Baseline(
        "double loop",
        "PyTorch forum, t/23494",
        lambda _, spec: Prepared(partial(reference, spec)),
        frozenset(get_args(Quantity)),
        smoke_test=False,
    ),
    *JACOBIANS,
    *PER_SAMPLE_GRADIENTS,
    *JAX_JACOBIANS,
    GRAD_TWICE,
    *HESSIANS,
    MAPPED_HVP,
    *JAX_HESSIANS,
)
"""In the order in which tables show them."""
