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
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

from jacengine.bench.baselines.baseline import Baseline, Prepared
from jacengine.bench.baselines.pure_function import select_part
from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.problem.quantity import SECOND_ORDER, Quantity

_Derivative = Callable[[Callable[..., Any], Quantity], Callable[..., Any]]
"""Maps the function of one sample, or of one point, to its derivative."""


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
    jax = start_jax()
    fn = partial(workload.jax_function, spec)
    module = spec.fn if isinstance(spec.fn, nn.Module) else nn.Module()
    params = {name: array(p) for name, p in module.named_parameters()}
    args = list(map(array, spec.args))
    # What is differentiated comes first, and has the sample axis unless samples share
    # it, as they share parameters.
    axes: list[int | None] = [spec.batch_dim] * len(args)
    if spec.wrt == "params":
        args, axes = [params, *args], [None, *axes]
    elif params:
        of_params, args, axes = fn, [*args, params], [*axes, None]
        fn = partial(lambda x, params: of_params(params, x))
    transformed = derivative(fn, spec.quantity)
    if spec.batch_dim is not None:
        transformed = jax.vmap(transformed, in_axes=tuple(axes))
    compiled = jax.jit(transformed)

    def run() -> Any:
        return jax.block_until_ready(compiled(*args))

    run()
    return Prepared(run, lambda result: _tensors(result, args[0]))


@functools.cache
def start_jax() -> Any:
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


def array(tensor: Tensor) -> Any:
    """Copy a tensor to a JAX array."""
    return load("jax.numpy").array(tensor.detach().cpu().numpy())


def _tensors(result: Any, primal: Any) -> Any:
    """Return the arrays as tensors on the same memory, parameters in their order."""
    if isinstance(result, dict):
        return {name: _tensors(cast("Any", result)[name], primal) for name in primal}
    return from_dlpack(result)


def _baseline(
    name: str,
    source: str,
    derivative: _Derivative,
    libraries: tuple[str, ...],
    *quantities: Quantity,
) -> Baseline:
    return Baseline(
        name,
        source,
        partial(_compiled, derivative),
        frozenset(quantities),
        libraries,
        _reason_inapplicable,
        smoke_test=False,
    )


def _jax(name: str, derivative: _Derivative, *quantities: Quantity) -> Baseline:
    source = f"JAX documentation: {name}, vmap, jit"
    return _baseline(f"jax.jit({name})", source, derivative, ("jax",), *quantities)


def _folx(name: str, sparsity_threshold: int) -> Baseline:
    derivative = partial(_forward_laplacian, sparsity_threshold)
    libraries = ("folx", "jax")
    return _baseline(name, "folx documentation", derivative, libraries, "laplacian")


JAX_JACOBIANS: tuple[Baseline, ...] = (
    _jax("jacrev", lambda fn, _: load("jax").jacrev(fn), "jacobian"),
    _jax("jacfwd", lambda fn, _: load("jax").jacfwd(fn), "jacobian"),
)
JAX_HESSIANS: tuple[Baseline, ...] = (
    _jax("hessian", _hessian, *SECOND_ORDER),
    _folx("folx.forward_laplacian", 0),
    # Derivatives that stay sparse, as folx recommends for wave functions.
    _folx("folx.forward_laplacian(sparse)", 6),
)
