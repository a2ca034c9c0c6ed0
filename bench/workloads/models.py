"""Networks that several workloads use, in PyTorch and in JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from torch import nn

from jacengine.bench.optional_libraries import load
from jacengine.bench.workload import DerivativeSpec


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    """Stack linear layers with an activation between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def mlp_in_jax(
    _: DerivativeSpec,
    params: dict[str, Any],
    x: Any,
    prefix: str = "",
    activation: str = "tanh",
) -> Any:
    """Apply an `mlp` in JAX, by the names of its parameters and of its activation."""
    activate = getattr(load("jax.numpy"), activation)
    layer = 0
    while True:
        weight, bias = (
            params[f"{prefix}{layer}.{name}"] for name in ("weight", "bias")
        )
        x = weight @ x + bias
        layer += 2
        if f"{prefix}{layer}.weight" not in params:
            return x
        x = activate(x)


def conv_classifier(channels: int, side: int) -> nn.Sequential:
    """Classify square images of a side that is a multiple of four."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (side // 4) ** 2, 10),
    )
