"""JAX and folx: derivatives compiled by XLA, mapped over samples by `jax.vmap`.

For workloads that are also written in JAX, on the CPU: compiled before anything is
timed, in the same precision, with as many threads as PyTorch uses, and waited for. The
result stays in JAX; its conversion to tensors is not timed.

folx propagates a value, its gradient and its Laplacian together: R. Li et al., A
computational framework for neural network-based variational Monte Carlo with forward
Laplacian, 2024, https://arxiv.org/abs/2307.08214; N. Gao, J. Koehler, A. Foster, folx,
2023, https://github.com/microsoft/folx.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch.utils.dlpack import from_dlpack

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.hessian_parts import select_part
from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import SECOND_ORDER, Quantity

_Derivative = Callable[[Callable[..., Any], Quantity], Callable[..., Any]]
"""Maps the function of one sample, or of one point, to its derivative."""


def _jacobian(
    transform: str, fn: Callable[..., Any], _: Quantity
) -> Callable[..., Any]:
    return cast("Callable[..., Any]", getattr(load("jax"), transform)(fn))


def _hessian(fn: Callable[..., Any], quantity: Quantity) -> Callable[..., Any]:
    # The compiler sees which part is taken.
    return select_part(load("jax").hessian(fn), quantity)


def _forward_laplacian(
    sparsity_threshold: int, fn: Callable[..., Any], _: Quantity
) -> Callable[..., Any]:
    forward = load("folx").forward_laplacian

    def laplacian(primal: Any, *rest: Any) -> Any:
        propagate = forward(
            lambda x: fn(x, *rest), sparsity_threshold=sparsity_threshold
        )
        return propagate(primal).laplacian

    return laplacian


def _reason_inapplicable(workload: Workload, spec: DerivativeSpec) -> str | None:
    if workload.jax_function is None:
        return "the workload is not written in JAX"
    if spec.args[0].device.type != "cpu":
        return "JAX is installed for the CPU"
    return None


def _compiled(
    derivative: _Derivative, workload: Workload, spec: DerivativeSpec
) -> Prepared:
    """Compile the derivative by running it once."""
    assert workload.jax_function is not None
    jax = _started()
    function = workload.jax_function(spec)
    transformed = derivative(function.fn, spec.quantity)
    if any(axis is not None for axis in function.in_axes):
        transformed = jax.vmap(transformed, in_axes=function.in_axes)
    compiled = jax.jit(transformed)

    def run() -> Any:
        return jax.block_until_ready(compiled(function.primal, *function.rest))

    run()
    return Prepared(run, lambda result: _tensors(result, function.primal))


@functools.cache
def _started() -> Any:
    """Import JAX and start its threads, as many as PyTorch uses."""
    jax = load("jax")
    # Otherwise it rounds float64 to float32; float32 stays what it is.
    jax.config.update("jax_enable_x64", val=True)
    threads = os.environ.get("PJRT_NPROC")
    os.environ["PJRT_NPROC"] = threads or str(torch.get_num_threads())
    jax.devices()
    if threads is None:
        del os.environ["PJRT_NPROC"]
    return jax


def _tensors(result: Any, primal: Any) -> Any:
    """Return the arrays as tensors on the same memory, parameters in their order."""
    if isinstance(result, dict):
        return {name: _tensors(cast("Any", result)[name], primal) for name in primal}
    return from_dlpack(result)


def _baseline(
    name: str,
    source: str,
    derivative: _Derivative,
    quantities: frozenset[Quantity],
    libraries: tuple[str, ...] = ("jax",),
) -> Baseline:
    return Baseline(
        name,
        source,
        partial(_compiled, derivative),
        quantities,
        libraries,
        _reason_inapplicable,
        smoke_test=False,
    )


_JACOBIAN: frozenset[Quantity] = frozenset({"jacobian"})
_FOLX = ("folx", "jax")
_LAPLACIAN: frozenset[Quantity] = frozenset({"laplacian"})
_dense, _sparse = (partial(_forward_laplacian, threshold) for threshold in (0, 6))

JAX_JACOBIANS: tuple[Baseline, ...] = tuple(
    _baseline(
        f"jax.jit({mode})",
        f"JAX documentation: {mode}, vmap, jit",
        partial(_jacobian, mode),
        _JACOBIAN,
    )
    for mode in ("jacrev", "jacfwd")
)
JAX_HESSIANS: tuple[Baseline, ...] = (
    _baseline(
        "jax.jit(hessian)",
        "JAX documentation: hessian, vmap, jit",
        _hessian,
        SECOND_ORDER,
    ),
    _baseline(
        "folx.forward_laplacian", "folx documentation", _dense, _LAPLACIAN, _FOLX
    ),
    # Derivatives that stay sparse, as folx recommends for wave functions.
    _baseline(
        "folx.forward_laplacian(sparse)",
        "folx documentation",
        _sparse,
        _LAPLACIAN,
        _FOLX,
    ),
)
