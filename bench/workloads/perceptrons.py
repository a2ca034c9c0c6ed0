"""Multilayer perceptrons, in PyTorch and in JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec, JaxFunction
from jacengine.bench.workloads.jax_functions import in_jax


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Stack linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_in_jax(spec: DerivativeSpec, activation: str = "tanh") -> JaxFunction:
    """Return an `mlp` by its inputs or its parameters, in JAX."""
    network = cast("nn.Sequential", spec.fn)
    return in_jax(spec, jax_mlp(len(network), activation=activation), network)


def jax_mlp(
    layers: int, prefix: str = "", activation: str = "tanh"
) -> Callable[[dict[str, Any], Any], Any]:
    """Return an `mlp` of so many modules as a JAX function of parameters and input.

    Args:
        layers: The number of modules, activations included.
        prefix: What the names of its parameters begin with.
        activation: The name of a function of `jax.numpy`.

    Returns:
        The function.
    """
    activate = getattr(load("jax.numpy"), activation)

    def apply(params: dict[str, Any], x: Any) -> Any:
        for index in range(0, layers, 2):
            weight, bias = (
                params[f"{prefix}{index}.{name}"] for name in ("weight", "bias")
            )
            x = weight @ x + bias
            x = activate(x) if index < layers - 1 else x
        return x

    return apply
