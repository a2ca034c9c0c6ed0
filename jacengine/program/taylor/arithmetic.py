"""Sums, reductions, copies and products.

    (a + c b)_t = a_t + c b_t,    (a + c b)_s = a_s + c b_s

For an operator that is linear in each of several tensors,

    B(x, y)_t = B(x_t, y) + B(x, y_t)
    B(x, y)_s = B(x_s, y) + B(x, y_s) + 2 sum_k B(x_t[k], y_t[k]),

where the last term is there only if both depend on the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor

from jacengine.program.taylor.elementwise import chain_rule, reciprocal
from jacengine.program.taylor.jet import (
    Jet,
    TaylorRule,
    add_coefficients,
    align_rank,
    primal_of,
)


def _scaled(x: Jet, y: Tensor, factor: float) -> Jet:
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
        return _scaled(a, y, 1)
    other = _scaled(b, y, alpha)
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


Batched = Callable[[list[Any], Sequence[int]], Tensor]
"""The operator on operands of which some, by number, have directions in front."""


def multilinear(
    operands: Sequence[Any], plain: Callable[..., Tensor], batched: Batched
) -> Jet:
    """Return the jet of an operator that is linear in each operand.

    Args:
        operands: Jets and constants, at least one a jet.
        plain: The operator on values.
        batched: The operator on operands of which some have directions in front; it
            takes broadcast tangents as they are, and may return such.
    """
    values = [primal_of(operand) for operand in operands]
    jets = {i: x for i, x in enumerate(operands) if isinstance(x, Jet)}
    tangents = second = None

    def put(*replacements: tuple[int, Tensor]) -> list[Any]:
        changed = values.copy()
        for i, replacement in replacements:
            changed[i] = replacement
        return changed

    for i, x in jets.items():
        tangents = add_coefficients(tangents, batched(put((i, x.tangents)), (i,)))
        own = x.dense_second_order()
        if own is not None:
            second = add_coefficients(second, plain(*put((i, own))))
    for (i, x), (j, y) in combinations(jets.items(), 2):
        pair = batched(put((i, x.tangents), (j, y.tangents)), (i, j))
        second = add_coefficients(second, 2 * pair.sum(0))
    assert tangents is not None
    first = next(iter(jets.values()))
    return first.with_coefficients(plain(*values), tangents, second)


def _multiply(a: Any, b: Any) -> Jet:
    """Multiply entry by entry."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        x, factor = (a, b) if isinstance(a, Jet) else (b, a)
        return _scaled(x, x.primal * factor, cast("float", factor))
    if a is b and isinstance(a, Jet):
        value = a.primal
        return chain_rule(a, value * value, 2 * value, torch.full_like(value, 2))
    rank = max(primal_of(a).dim(), primal_of(b).dim())

    def batched(operands: list[Any], active: Sequence[int]) -> Tensor:
        x, y = (
            align_rank(operand, rank) if i in active else operand
            for i, operand in enumerate(operands)
        )
        return x * y

    return multilinear((a, b), torch.mul, batched)


def _divide(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide entry by entry."""
    if rounding_mode is not None:
        return NotImplemented
    if not isinstance(b, Jet):
        y, inverse = a.primal / b, 1 / b
        if not isinstance(b, Tensor):
            return _scaled(a, y, inverse)
        second = None if a.second_order is None else a.second_order * inverse
        tangents = align_rank(a.tangents, y.dim()) * inverse
        return a.with_coefficients(y, tangents, second)
    value = 1 / b.primal
    inverted = chain_rule(b, value, *reciprocal(b.primal, value))
    return _multiply(a, inverted)


RULES: dict[str, TaylorRule] = {
    "add __add__ __radd__": add,
    "sub subtract __sub__": lambda a, b, alpha=1: add(a, b, -alpha),
    "rsub __rsub__": lambda a, b, alpha=1: add(b, a, -alpha),
    "neg negative": lambda x: _scaled(x, -x.primal, -1),
    "positive": lambda x: x,
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "mul multiply __mul__ __rmul__": _multiply,
    "div divide true_divide __truediv__": _divide,
    "__rdiv__ __rtruediv__": lambda a, b: _divide(b, a),
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "clone contiguous to type type_as float double half bfloat16 cpu cuda": _copy
}
