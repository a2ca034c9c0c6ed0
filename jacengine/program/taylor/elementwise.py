"""Functions of one number, applied to every entry, and their derivatives.

y_t[k] = phi'(z) t[k],    y_s = phi'(z) s + phi''(z) sum_k t[k]^2

A formula takes the argument z, the value y and the function's other arguments, and
returns phi'(z) and phi''(z); `None` in place of the second is zero.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor.jet import Jet, TaylorRule, align_rank

Derivatives = tuple[Tensor, Tensor | None]
Formula = Callable[..., Derivatives]


def _step(z: Tensor, slope: float) -> Derivatives:
    """Differentiate what has slope 1 above 0 and another slope elsewhere."""
    return torch.where(z > 0, torch.ones_like(z), slope), None


def _constant(z: Tensor, *_: object, **__: object) -> Derivatives:
    return z.new_zeros(()), None


def _gelu(z: Tensor, _: Tensor, approximate: str = "none") -> Derivatives:
    """Differentiate z Phi(z), Phi of the normal distribution or its form by tanh."""
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


def _softplus(
    z: Tensor, _: Tensor, beta: float = 1, threshold: float = 20
) -> Derivatives:
    """Differentiate log(1 + exp(beta z)) / beta, the identity above the threshold."""
    s, linear = torch.sigmoid(beta * z), beta * z > threshold
    return torch.where(linear, 1.0, s), torch.where(linear, 0.0, beta * s * (1 - s))


def _mish(z: Tensor, _: Tensor) -> Derivatives:
    """Differentiate z tanh(softplus(z)), by the chain rule."""
    s, w = torch.sigmoid(z), torch.tanh(F.softplus(z))
    slope = (1 - w * w) * s
    return w + z * slope, 2 * slope + z * (slope * (1 - s) - 2 * w * s * slope)


def _clamp(
    z: Tensor,
    _: Tensor,
    min: float | None = None,  # noqa: A002
    max: float | None = None,  # noqa: A002
) -> Derivatives:
    """Differentiate what has slope 1 between bounds, those included."""
    inside = torch.ones_like(z, dtype=torch.bool)
    if min is not None:
        inside = inside & (z >= min)
    if max is not None:
        inside = inside & (z <= max)
    return inside.to(z.dtype), None


def _hardtanh(
    z: Tensor, _: Tensor, min_val: float = -1, max_val: float = 1
) -> Derivatives:
    """Differentiate what has slope 1 between bounds, those not included."""
    return ((z > min_val) & (z < max_val)).to(z.dtype), None


def _power(z: Tensor, exponent: float) -> Derivatives:
    """Differentiate z^n; exact where z is 0."""
    if exponent == 0:
        return torch.zeros_like(z), None
    if exponent == 1:
        return torch.ones_like(z), None
    if exponent == 2:
        return 2 * z, torch.full_like(z, 2)
    first = exponent * z ** (exponent - 1)
    return first, exponent * (exponent - 1) * z ** (exponent - 2)


def _exponential(y: Tensor, base: float) -> Derivatives:
    """Differentiate base^z."""
    rate = math.log(base)
    return rate * y, rate * rate * y


def _logarithm(z: Tensor, base: float) -> Derivatives:
    rate, inverse = 1 / math.log(base), 1 / z
    return rate * inverse, -rate * inverse * inverse


def sqrt_or_zero(_: Tensor, y: Tensor) -> Derivatives:
    """Differentiate the root inside torch's norms: at 0, slope 0 and bend NaN."""
    zero = y == 0
    first = torch.where(zero, 0.0, 0.5 / torch.where(zero, 1.0, y))
    return first, torch.where(zero, torch.nan, -2 * first**3)


def reciprocal(_: Tensor, y: Tensor) -> Derivatives:
    """Differentiate 1 / z."""
    square = y * y
    return -square, 2 * square * y


def _elu(z: Tensor, scale: float, alpha: float, rate: float) -> Derivatives:
    """Differentiate scale z above 0 and scale alpha (exp(rate z) - 1) below."""
    below = scale * alpha * rate * torch.exp(rate * z.clamp(max=0))
    positive = z > 0
    return torch.where(positive, scale, below), torch.where(positive, 0, rate * below)


FORMULAS: dict[str, Formula] = {
    "tanh": lambda _, y: (d := 1 - y * y, -2 * y * d),
    "sigmoid expit": lambda _, y: (d := y - y * y, d * (1 - 2 * y)),
    "silu": lambda z, y: (
        (s := torch.sigmoid(z)) + y * (1 - s),
        s * (1 - s) * (2 + z * (1 - 2 * s)),
    ),
    "gelu": _gelu,
    "softplus": _softplus,
    "logsigmoid": lambda z, _: (s := torch.sigmoid(-z), -s * torch.sigmoid(z)),
    "softsign": lambda z, _: (
        (r := 1 / (1 + z.abs())).square(),
        -2 * z.sign() * r**3,
    ),
    "tanhshrink": lambda z, y: (d := (w := z - y) * w, 2 * w * (1 - d)),
    "mish": _mish,
    "relu": lambda z, _: _step(z, 0.0),
    "leaky_relu": lambda z, _, negative_slope=0.01: _step(z, negative_slope),
    "clamp clip": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda z, y, max: _clamp(z, y, None, max),  # noqa: A006
    "hardtanh": _hardtanh,
    "hardsigmoid": lambda z, y: (_hardtanh(z, y, -3, 3)[0] / 6, None),
    "relu6": lambda z, y: _hardtanh(z, y, 0, 6),
    "elu": lambda z, _, alpha=1.0: _elu(z, 1.0, alpha, 1.0),
    "celu": lambda z, _, alpha=1.0: _elu(z, 1.0, alpha, 1 / alpha),
    # Klambauer et al. 2017, "Self-Normalizing Networks".
    "selu": lambda z, _: _elu(z, 1.0507009873554805, 1.6732632423543772, 1.0),
    "exp": lambda _, y: (y, y),
    "exp2": lambda _, y: _exponential(y, 2.0),
    "expm1": lambda _, y: (y + 1, y + 1),
    "log": lambda z, _: _logarithm(z, math.e),
    "log2": lambda z, _: _logarithm(z, 2.0),
    "log10": lambda z, _: _logarithm(z, 10.0),
    "log1p": lambda z, _: (d := 1 / (1 + z), -d * d),
    "sqrt": lambda _, y: (d := 0.5 / y, -d / (2 * y * y)),
    "rsqrt": lambda _, y: (d := -0.5 * y * (r := y * y), -1.5 * d * r),
    "reciprocal": reciprocal,
    "square": lambda z, _: (2 * z, torch.full_like(z, 2)),
    "sin": lambda z, y: (torch.cos(z), -y),
    "cos": lambda z, y: (-torch.sin(z), -y),
    "tan": lambda _, y: (d := 1 + y * y, 2 * y * d),
    "sinh": lambda z, y: (torch.cosh(z), y),
    "cosh": lambda z, y: (torch.sinh(z), y),
    "asinh arcsinh": lambda z, _: (d := torch.rsqrt(1 + z * z), -z * d**3),
    "atan arctan": lambda z, _: (d := 1 / (1 + z * z), -2 * z * d * d),
    "erf": lambda z, _: (
        d := 2 / math.sqrt(math.pi) * torch.exp(-z * z),
        -2 * z * d,
    ),
    "abs absolute": lambda z, _: (z.sign(), None),
    "sign sgn floor ceil round trunc fix": _constant,
}
"""Formulas by the names of functions."""


def chain_rule(z: Jet, y: Tensor, first: Tensor, second: Tensor | None) -> Jet:
    """Return y = phi(z), given both derivatives at z."""
    tangents, own = align_rank(z.tangents, y.dim()), z.second_order
    if second is None:
        return z.with_coefficients(
            y, first * tangents, None if own is None else first * own
        )
    squares = tangents * tangents
    total = second * squares.sum(0)
    if own is not None:
        total = torch.addcmul(total, first, own)
    if torch.is_grad_enabled() or squares.shape[1:] != y.shape:
        return z.with_coefficients(y, first * tangents, total)
    # Nothing is recorded: the squares have served, and their memory is warm.
    return z.with_coefficients(y, torch.mul(first, tangents, out=squares), total)


def _scalar_rule(function: TaylorRule, formula: Formula) -> TaylorRule:
    """Return the rule of a function of one number."""

    def rule(z: Jet, *options: Any, **named: Any) -> Any:
        if any(isinstance(o, Tensor) for o in (*options, *named.values())):
            return NotImplemented
        y = function(z.primal, *options, **named)
        return chain_rule(z, y, *formula(z.primal, y, *options, **named))

    return rule


def _raise(base: Any, exponent: Any) -> Any:
    """Raise a jet to a number, or a number to a jet."""
    if isinstance(base, Jet) and isinstance(exponent, (int, float)):
        y = base.primal**exponent
        return chain_rule(base, y, *_power(base.primal, exponent))
    if isinstance(base, (int, float)) and isinstance(exponent, Jet) and base > 0:
        y = base**exponent.primal
        return chain_rule(exponent, y, *_exponential(y, base))
    return NotImplemented


RULES: dict[str, TaylorRule] = {
    "pow __pow__": _raise,
    "__rpow__": lambda z, other: _raise(other, z),
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    names: functools.partial(_scalar_rule, formula=formula)
    for names, formula in FORMULAS.items()
}
