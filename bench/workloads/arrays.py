"""Tensors as JAX arrays of the same precision."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from jacengine.bench.peers import peer


def array(tensor: Tensor) -> Any:
    """Copy a tensor; JAX must have been told to allow float64."""
    jnp = peer("jax.numpy")

    return jnp.array(tensor.detach().cpu().numpy())


def arrays(module: nn.Module) -> dict[str, Any]:
    """Copy a module's parameters, by name."""
    return {name: array(p) for name, p in module.named_parameters()}
