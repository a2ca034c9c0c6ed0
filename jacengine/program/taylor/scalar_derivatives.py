"""First and second derivatives of functions of one number.

A formula gets the argument z, the value y and the function's other arguments, and
returns phi'(z) and phi''(z); `None` in place of the second is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor | None]
Derivatives = Callable[..., Pair]


def _step(z: Tensor, above: Tensor, slope: float) -> Pair:
    """Differentiate what has slope 1 where `above` holds, another elsewhere."""
    return torch.where(above, torch.ones_like(z), slope), None


def tanh(_: Tensor, y: Tensor) -> Pair:
    """Phi' = 1 - y^2, phi'' = -2 y phi'."""
    first = 1 - y * y
    return first, -2 * y * first


def sigmoid(_: Tensor, y: Tensor) -> Pair:
    """Phi' = y (1 - y), phi'' = phi' (1 - 2 y)."""
    first = y - y * y
    return first, first * (1 - 2 * y)


def silu(z: Tensor, y: Tensor) -> Pair:
    """Phi' = s + y (1 - s), phi'' = s (1 - s) (2 + z (1 - 2 s)), s = sigmoid(z)."""
    s = torch.sigmoid(z)
    return s + y * (1 - s), s * (1 - s) * (2 + z * (1 - 2 * s))


def gelu(z: Tensor, _: Tensor, approximate: str = "none") -> Pair:
    """Z Phi(z) with the normal distribution's Phi, or its form by tanh."""
    if approximate == "none":
        density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        cumulative = 0.5 * (1 + torch.erf(z * math.sqrt(0.5)))
        return cumulative + z * density, density * (2 - z * z)
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    u = torch.tanh(scale * (z + cubic * z**3))
    slope, bend = scale * (1 + 3 * cubic * z * z), 6 * scale * cubic * z
    first = 1 - u * u
    second = first * bend - 2 * u * first * slope * slope
    return 0.5 * (1 + u) + 0.5 * z * first * slope, first * slope + 0.5 * z * second


def softplus(z: Tensor, _: Tensor, beta: float = 1, threshold: float = 20) -> Pair:
    """Phi' = s(beta z), phi'' = beta s (1 - s); the identity above the threshold."""
    s, linear = torch.sigmoid(beta * z), beta * z > threshold
    return torch.where(linear, 1.0, s), torch.where(linear, 0.0, beta * s * (1 - s))


def logsigmoid(z: Tensor, _: Tensor) -> Pair:
    """Phi' = 1 - s, phi'' = -s (1 - s)."""
    s = torch.sigmoid(z)
    return torch.sigmoid(-z), -s * (1 - s)


def softsign(z: Tensor, _: Tensor) -> Pair:
    """Phi' = 1 / (1 + |z|)^2, phi'' = -2 sign(z) / (1 + |z|)^3."""
    inverse = 1 / (1 + z.abs())
    return inverse.square(), -2 * z.sign() * inverse**3


def tanhshrink(z: Tensor, y: Tensor) -> Pair:
    """Phi' = w^2, phi'' = 2 w (1 - w^2), w = tanh z = z - y."""
    w = z - y
    first = w * w
    return first, 2 * w * (1 - first)


def mish(z: Tensor, _: Tensor) -> Pair:
    """Z tanh(softplus(z)), by the chain rule."""
    s, w = torch.sigmoid(z), torch.tanh(F.softplus(z))
    slope = (1 - w * w) * s
    return w + z * slope, 2 * slope + z * (slope * (1 - s) - 2 * w * s * slope)


def relu(z: Tensor, _: Tensor) -> Pair:
    """Slope 0 or 1."""
    return _step(z, z > 0, 0.0)


def leaky_relu(z: Tensor, _: Tensor, negative_slope: float = 0.01) -> Pair:
    """Two slopes."""
    return _step(z, z > 0, negative_slope)


def clamp(
    z: Tensor,
    _: Tensor,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
) -> Pair:
    """Slope 1 inside, bounds included."""
    inside = torch.ones_like(z, dtype=torch.bool)
    if min is not None:
        inside = inside & (z >= min)
    if max is not None:
        inside = inside & (z <= max)
    return inside.to(z.dtype), None


def clamp_min(z: Tensor, y: Tensor, min: float) -> Pair:  # noqa: A002
    """Slope 1 from the bound on."""
    return clamp(z, y, min)


def clamp_max(z: Tensor, y: Tensor, max: float) -> Pair:  # noqa: A002
    """Slope 1 up to the bound."""
    return clamp(z, y, None, max)


def hardtanh(z: Tensor, _: Tensor, min_val: float = -1, max_val: float = 1) -> Pair:
    """Slope 1 inside, bounds not included."""
    return ((z > min_val) & (z < max_val)).to(z.dtype), None


def hardsigmoid(z: Tensor, _: Tensor) -> Pair:
    """Slope 1/6 between -3 and 3."""
    return hardtanh(z, _, -3, 3)[0] / 6, None


def relu6(z: Tensor, y: Tensor) -> Pair:
    """Slope 1 between 0 and 6."""
    return hardtanh(z, y, 0, 6)
