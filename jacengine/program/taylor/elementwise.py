"""Functions of one number, applied to every entry.

y_t[k] = phi'(z) t[k],    y_s = phi'(z) s + phi''(z) sum_k t[k]^2
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import align_rank
from jacengine.program.taylor.jet import Jet, TaylorRule
from jacengine.program.taylor.scalar_derivatives import Formula, exponential
from jacengine.program.taylor.scalar_derivatives import power as power_derivatives


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


def scalar_rule(function: TaylorRule, formula: Formula) -> TaylorRule:
    """Return the rule of a function of one number."""

    def rule(z: Jet, *options: Any, **named: Any) -> Any:
        if any(isinstance(o, Tensor) for o in (*options, *named.values())):
            return NotImplemented
        y = function(z.primal, *options, **named)
        return chain_rule(z, y, *formula(z.primal, y, *options, **named))

    return rule


def power(base: Any, exponent: Any) -> Any:
    """Raise a jet to a number, or a number to a jet."""
    if isinstance(base, Jet) and isinstance(exponent, (int, float)):
        y = base.primal**exponent
        return chain_rule(base, y, *power_derivatives(base.primal, y, exponent))
    if isinstance(base, (int, float)) and isinstance(exponent, Jet) and base > 0:
        y = base**exponent.primal
        return chain_rule(exponent, y, *exponential(exponent.primal, y, base))
    return NotImplemented


RULES: dict[str, TaylorRule] = {
    "pow __pow__": power,
    "__rpow__": lambda z, other: power(other, z),
}
