"""Multilayer perceptrons, and the same in JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from jacengine.bench.peers import peer
from jacengine.bench.workload import Question, Twin
from jacengine.bench.workloads.arrays import array, arrays


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Stack linear layers with tanh, or something else, between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_twin(question: Question, activation: str = "tanh") -> Twin:
    """Return an `mlp` by its inputs or its parameters, in JAX."""
    network = cast("nn.Sequential", question.fn)
    params = arrays(network)
    x = array(cast("Tensor", question.args[0]))
    apply = applied(len(network), activation)
    if question.wrt == "params":
        return Twin(apply, params, (x,), (None, 0))
    return Twin(lambda x, params: apply(params, x), x, (params,), (0, None))


def applied(
    layers: int, activation: str = "tanh"
) -> Callable[[dict[str, Any], Any], Any]:
    """Return what an `mlp` of so many layers does, in JAX, from its parameters."""
    activate = getattr(peer("jax.numpy"), activation)

    def apply(params: dict[str, Any], x: Any) -> Any:
        for index in range(0, layers, 2):
            x = params[f"{index}.weight"] @ x + params[f"{index}.bias"]
            x = activate(x) if index < layers - 1 else x
        return x

    return apply
