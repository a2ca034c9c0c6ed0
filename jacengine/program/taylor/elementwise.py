"""Functions of one number, applied to every entry.

y_t[k] = phi'(z) t[k],    y_l = phi'(z) l + phi''(z) sum_k t[k]^2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor import powers
from jacengine.program.taylor import scalar_derivatives as phi
from jacengine.program.taylor.broadcast_tangents import aligned
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.scalar_derivatives import Derivatives

Rule = Callable[..., Any]

FORMULAS: dict[str, Derivatives] = {
    "tanh": phi.tanh,
    "sigmoid expit": phi.sigmoid,
    "silu": phi.silu,
    "gelu": phi.gelu,
    "softplus": phi.softplus,
    "logsigmoid": phi.logsigmoid,
    "softsign": phi.softsign,
    "tanhshrink": phi.tanhshrink,
    "mish": phi.mish,
    "relu": phi.relu,
    "leaky_relu": phi.leaky_relu,
    "clamp clip": phi.clamp,
    "clamp_min": phi.clamp_min,
    "clamp_max": phi.clamp_max,
    "hardtanh": phi.hardtanh,
    "hardsigmoid": phi.hardsigmoid,
    "relu6": phi.relu6,
    "elu": powers.elu,
    "celu": powers.celu,
    "selu": powers.selu,
    "exp": lambda _, y: (y, y),
    "exp2": lambda _, y: powers.power_of(_, y, 2.0),
    "expm1": lambda _, y: (y + 1, y + 1),
    "log": powers.logarithm(torch.e),
    "log2": powers.logarithm(2.0),
    "log10": powers.logarithm(10.0),
    "log1p": powers.log1p,
    "sqrt": powers.sqrt,
    "rsqrt": powers.rsqrt,
    "reciprocal": powers.reciprocal,
    "square": lambda z, _: (2 * z, torch.full_like(z, 2)),
    "sin": lambda z, y: (torch.cos(z), -y),
    "cos": lambda z, y: (-torch.sin(z), -y),
    "tan": powers.tan,
    "sinh": lambda z, y: (torch.cosh(z), y),
    "cosh": lambda z, y: (torch.sinh(z), y),
    "asinh arcsinh": powers.asinh,
    "atan arctan": powers.atan,
    "erf": powers.erf,
    "abs absolute": powers.absolute,
    "sign sgn": powers.constant,
    "floor": powers.constant,
    "ceil": powers.constant,
    "round": powers.constant,
    "trunc fix": powers.constant,
}


def mapped(z: Jet, y: Tensor, first: Tensor, second: Tensor | None) -> Jet:
    """Return y = phi(z), given both derivatives at z."""
    tangents, curvature = aligned(z.tangents, y.dim()), z.curvature
    if second is None:
        bent = None if curvature is None else first * curvature
        return z.becomes(y, first * tangents, bent)
    squares = tangents * tangents
    bent = second * squares.sum(0)
    if curvature is not None:
        bent = torch.addcmul(bent, first, curvature)
    if torch.is_grad_enabled() or squares.shape[1:] != y.shape:
        return z.becomes(y, first * tangents, bent)
    # Nothing is recorded: the squares have served, and their memory is warm.
    return z.becomes(y, torch.mul(first, tangents, out=squares), bent)


def of_one(function: Rule, formula: Derivatives) -> Rule:
    """Return the rule of a function of one number."""

    def rule(z: Jet, *options: Any, **named: Any) -> Any:
        if any(isinstance(o, Tensor) for o in (*options, *named.values())):
            return NotImplemented
        y = function(z.primal, *options, **named)
        return mapped(z, y, *formula(z.primal, y, *options, **named))

    return rule


def power(base: Any, exponent: Any) -> Any:
    """Raise a jet to a number, or a number to a jet."""
    if isinstance(base, Jet) and isinstance(exponent, (int, float)):
        y = base.primal**exponent
        return mapped(base, y, *powers.power(base.primal, y, exponent))
    if isinstance(base, (int, float)) and isinstance(exponent, Jet) and base > 0:
        y = base**exponent.primal
        return mapped(exponent, y, *powers.power_of(exponent.primal, y, base))
    return NotImplemented


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    for names, formula in FORMULAS.items():
        for function in spellings(*names.split()):
            yield function, of_one(function, formula)
    for function in spellings("pow", "__pow__"):
        yield function, power
    yield from ((f, lambda z, other: power(other, z)) for f in spellings("__rpow__"))
