"""Workloads in JAX: the same function on the same numbers, in the same precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, JaxFunction


def in_jax(
    spec: DerivativeSpec, fn: Callable[..., Any], module: nn.Module | None = None
) -> JaxFunction:
    """Pair a function in JAX with the arguments of a spec.

    Args:
        spec: The derivative; by its first argument, or by parameters.
        fn: The function of one sample, or of the point. It takes the arguments; if
            there is a module, its parameters by name come first.
        module: Holds the parameters.

    Returns:
        The function and its arguments, what is differentiated first.
    """
    args = tuple(map(array, spec.args))
    axes = (spec.batch_dim,) * len(args)
    if module is None:
        return JaxFunction(fn, args[0], args[1:], axes)
    params = {name: array(p) for name, p in module.named_parameters()}
    if spec.wrt == "params":
        return JaxFunction(fn, params, args, (None, *axes))
    (x,) = args
    return JaxFunction(lambda x, params: fn(params, x), x, (params,), (*axes, None))


def array(tensor: Tensor) -> Any:
    """Copy a tensor; float64 must have been enabled in JAX."""
    return load("jax.numpy").array(tensor.detach().cpu().numpy())
