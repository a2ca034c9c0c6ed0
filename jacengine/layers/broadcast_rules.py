"""Layers equivalent to operators of the graph: sums, products and projections.

They are never called; their rules contract the block of a parameter whose shape may be
broadcast:

    block[s k ...] = sum over n and broadcast axes of g[s k n ...] (x[s n ...])
"""

from __future__ import annotations

from torch import Tensor, nn

from jacengine.layers.linear import linear_factors, positions_sum
from jacengine.layers.outer import outer


class Broadcast(nn.Module):
    """An operator that broadcasts a parameter.

    Attributes:
        shape: The parameter's.
        factor: What it is multiplied with besides.
    """

    def __init__(self, shape: tuple[int, ...], factor: float = 1.0) -> None:
        """Describe the operator."""
        super().__init__()
        self.shape, self.factor = shape, factor


class Shift(Broadcast):
    """Adds a multiple of the parameter."""


class Scale(Broadcast):
    """Multiplies with the parameter."""


class Project(nn.Module):
    """Multiplies vectors with the parameter, a vector."""


def shift(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Sum the cotangents."""
    return _sum(layer, x, g if layer.factor == 1 else g * layer.factor, out)


def scale(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Sum the cotangents times the other factor."""
    return _sum(layer, x, g * x.unsqueeze(1), out)


def own_axes(layer: Broadcast, _: int) -> int:
    """Count the parameter's axes."""
    return len(layer.shape)


def _sum(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    broadcast = [3 + axis for axis, size in enumerate(layer.shape) if size == 1]
    if broadcast:
        g = g.sum(broadcast, keepdim=True)
    return positions_sum(layer, x, g, out)


def project(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s n i, s k n -> s k i`."""
    left, right = project_factors(layer, x.to(g.dtype), g)
    into = None if out is None else out.unsqueeze(2)
    return outer(left, right, (1, x.shape[-1]), into).squeeze(2)


def project_factors(layer: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block as that of a linear layer with one output."""
    return linear_factors(layer, x, g.unsqueeze(-1))
