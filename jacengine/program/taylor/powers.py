"""First and second derivatives of powers, exponentials and circular functions.

Formulas as in `jacengine.program.taylor.scalar_derivatives`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jacengine.program.taylor.scalar_derivatives import Derivatives, Pair


def power(z: Tensor, _: Tensor, exponent: float) -> Pair:
    """Phi' = n z^(n-1), phi'' = n (n-1) z^(n-2); exact where z is 0."""
    if exponent == 0:
        return torch.zeros_like(z), None
    if exponent == 1:
        return torch.ones_like(z), None
    if exponent == 2:
        return 2 * z, torch.full_like(z, 2)
    first = exponent * z ** (exponent - 1)
    return first, exponent * (exponent - 1) * z ** (exponent - 2)


def power_of(_: Tensor, y: Tensor, base: float) -> Pair:
    """Differentiate base^z: phi' = log(base) y."""
    rate = math.log(base)
    return rate * y, rate * rate * y


def constant(z: Tensor, _: Tensor, *__: object, **___: object) -> Pair:
    """Slope 0: steps."""
    return z.new_zeros(()), None


def absolute(z: Tensor, _: Tensor) -> Pair:
    """Slope 1 or -1, and 0 at 0."""
    return z.sign(), None


def logarithm(base: float) -> Derivatives:
    """Phi' = 1 / (z log base), phi'' = -phi' / z."""
    rate = 1 / math.log(base)

    def derivatives(z: Tensor, _: Tensor) -> Pair:
        inverse = 1 / z
        return rate * inverse, -rate * inverse * inverse

    return derivatives


def log1p(z: Tensor, _: Tensor) -> Pair:
    """Phi' = 1 / (1 + z), phi'' = -phi'^2."""
    first = 1 / (1 + z)
    return first, -first * first


def sqrt(_: Tensor, y: Tensor) -> Pair:
    """Phi' = 1 / (2 y), phi'' = -1 / (4 y^3)."""
    first = 0.5 / y
    return first, -first / (2 * y * y)


def sqrt_or_zero(_: Tensor, y: Tensor) -> Pair:
    """Be flat at 0 and bend by NaN there, as the root inside torch's norms does."""
    zero = y == 0
    first = torch.where(zero, 0.0, 0.5 / torch.where(zero, 1.0, y))
    return first, torch.where(zero, torch.nan, -2 * first**3)


def rsqrt(z: Tensor, y: Tensor) -> Pair:
    """Phi' = -y^3 / 2, phi'' = 3 y^5 / 4."""
    inverse = y * y
    first = -0.5 * y * inverse
    return first, -1.5 * first * inverse


def reciprocal(_: Tensor, y: Tensor) -> Pair:
    """Phi' = -y^2, phi'' = 2 y^3."""
    square = y * y
    return -square, 2 * square * y


def tan(_: Tensor, y: Tensor) -> Pair:
    """Phi' = 1 + y^2, phi'' = 2 y phi'."""
    first = 1 + y * y
    return first, 2 * y * first


def asinh(z: Tensor, _: Tensor) -> Pair:
    """Phi' = (1 + z^2)^(-1/2), phi'' = -z phi'^3."""
    first = torch.rsqrt(1 + z * z)
    return first, -z * first**3


def atan(z: Tensor, _: Tensor) -> Pair:
    """Phi' = 1 / (1 + z^2), phi'' = -2 z phi'^2."""
    first = 1 / (1 + z * z)
    return first, -2 * z * first * first


def erf(z: Tensor, _: Tensor) -> Pair:
    """Phi' = 2 exp(-z^2) / sqrt(pi), phi'' = -2 z phi'."""
    first = (2 / math.sqrt(math.pi)) * torch.exp(-z * z)
    return first, -2 * z * first


def _exponential(z: Tensor, scale: float, alpha: float, rate: float) -> Pair:
    """Differentiate scale z above 0 and scale alpha (exp(rate z) - 1) below."""
    below = scale * alpha * rate * torch.exp(rate * z.clamp(max=0))
    positive = z > 0
    return torch.where(positive, scale, below), torch.where(positive, 0, rate * below)


def elu(z: Tensor, _: Tensor, alpha: float = 1.0) -> Pair:
    """Alpha (exp z - 1) below 0."""
    return _exponential(z, 1.0, alpha, 1.0)


def celu(z: Tensor, _: Tensor, alpha: float = 1.0) -> Pair:
    """Alpha (exp(z / alpha) - 1) below 0."""
    return _exponential(z, 1.0, alpha, 1 / alpha)


def selu(z: Tensor, _: Tensor) -> Pair:
    """Take the constants of Klambauer et al. 2017, "Self-Normalizing Networks"."""
    return _exponential(z, 1.0507009873554805, 1.6732632423543772, 1.0)
