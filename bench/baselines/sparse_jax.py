"""asdex: sparse Jacobians and Hessians in JAX, detected, coloured and compiled.

A. Hill, asdex, 2026, https://github.com/adrhill/asdex
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.jax_compiled import array, start_jax
from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload

NAME = "asdex"
"""The name in tables."""


def _reason_inapplicable(workload: Workload, spec: DerivativeSpec) -> str | None:
    if workload.jax_function is None:
        return "the workload is not written in JAX"
    if spec.batch_dim is not None:
        return "it has no samples"
    return None


def _prepare(workload: Workload, spec: DerivativeSpec) -> Prepared:
    """Detect, colour, and compile by running it once."""
    assert workload.jax_function is not None
    jax, asdex = start_jax(), load("asdex")
    fn = partial(workload.jax_function, spec)
    (x,) = map(array, spec.args)
    made = asdex.jacobian if spec.quantity == "jacobian" else asdex.hessian
    compiled = jax.jit(made(fn, x, output_format="bcoo"))

    def run() -> Any:
        return jax.block_until_ready(compiled(x))

    run()
    return Prepared(run, _values)


def _values(matrix: Any) -> Tensor:
    """Return the values of a sparse matrix, row by row."""
    flat = np.ravel_multi_index(np.asarray(matrix.indices).T, matrix.shape)
    return torch.from_numpy(np.asarray(matrix.data)[np.argsort(flat)])


ASDEX = Baseline(
    NAME,
    "https://github.com/adrhill/asdex",
    _prepare,
    frozenset({"jacobian", "hessian"}),
    ("jax", "asdex"),
    _reason_inapplicable,
    smoke_test=False,
)
