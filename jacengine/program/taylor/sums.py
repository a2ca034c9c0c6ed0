"""Sums of tensors and over axes, and copies.

(a + c b)_t = a_t + c b_t,    (a + c b)_s = a_s + c b_s
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import add_coefficients, align_rank
from jacengine.program.taylor.jet import Jet, TaylorRule, primal_of


def scaled(x: Jet, y: Tensor, factor: float) -> Jet:
    """Return y, whose coefficients are a multiple of the jet's."""
    tangents, second = align_rank(x.tangents, y.dim()), x.second_order
    if factor != 1:
        tangents = factor * tangents
        second = None if second is None else factor * second
    return x.with_coefficients(y, tangents, second)


def add(a: Any, b: Any, alpha: float = 1) -> Jet:
    """Return a + alpha b, either a jet."""
    left, right = primal_of(a), primal_of(b)
    if alpha == 1:
        y = left + right
    else:
        y = left - right if alpha == -1 else left + alpha * right
    if not isinstance(b, Jet):
        return scaled(a, y, 1)
    other = scaled(b, y, alpha)
    if not isinstance(a, Jet):
        return other
    tangents = align_rank(a.tangents, y.dim()) + other.tangents
    second = add_coefficients(a.second_order, other.second_order)
    return a.with_coefficients(y, tangents, second)


def _reduction(name: str) -> TaylorRule:
    """Return the rule of a sum or a mean over axes, all without `dim`."""

    def rule(
        x: Jet,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        *,
        dtype: torch.dtype | None = None,
    ) -> Any:
        function = getattr(torch, name)
        rank = x.primal.dim()
        axes = [dim] if isinstance(dim, int) else dim
        if isinstance(dim, torch.dtype) or not rank:
            return NotImplemented
        over = [axis % rank for axis in axes or range(rank)]
        y = function(x.primal, over, keepdim, dtype=dtype)
        # Broadcast axes that are summed count their entries; others stay broadcast.
        tangents, shape = x.tangents, x.primal.shape
        repeated = [axis for axis in over if tangents.shape[axis + 1] != shape[axis]]
        count = 1 if name == "mean" else math.prod(shape[axis] for axis in repeated)
        tangents = function(tangents, [axis + 1 for axis in over], keepdim)
        tangents = count * tangents if count != 1 else tangents
        second = x.dense_second_order()
        if second is not None:
            second = function(second, over, keepdim)
        return x.with_coefficients(y, tangents, second)

    return rule


def _copy(function: Callable[..., Tensor]) -> TaylorRule:
    """Return the rule of a copy: of another dtype or device, contiguous, cloned."""

    def rule(x: Jet, *args: Any, **kwargs: Any) -> Any:
        y = function(x.primal, *map(primal_of, args), **kwargs)
        if y is x.primal:
            return x
        if not (isinstance(y, Tensor) and y.is_floating_point()):
            return y
        second = None if x.second_order is None else x.second_order.to(y.device)
        return x.with_coefficients(y, x.tangents.to(y.device), second)

    return rule


RULES: dict[str, TaylorRule] = {
    "add __add__ __radd__": add,
    "sub subtract __sub__": lambda a, b, alpha=1: add(a, b, -alpha),
    "rsub __rsub__": lambda a, b, alpha=1: add(b, a, -alpha),
    "neg negative": lambda x: scaled(x, -x.primal, -1),
    "positive": lambda x: x,
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "clone contiguous to type type_as float double half bfloat16 cpu cuda": _copy
}
