"""Products.

For an operator that is linear in each of several tensors,

    B(x, y)_t = B(x_t, y) + B(x, y_t)
    B(x, y)_s = B(x_s, y) + B(x, y_s) + 2 sum_k B(x_t[k], y_t[k]),

where the last term is there only if both depend on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import (
    add_coefficients,
    align_rank,
    expand_trailing,
)
from jacengine.program.taylor.elementwise import chain_rule
from jacengine.program.taylor.jet import Jet, TaylorRule, primal_of
from jacengine.program.taylor.scalar_derivatives import reciprocal
from jacengine.program.taylor.sums import scaled

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


def multiply(a: Any, b: Any) -> Jet:
    """Multiply entry by entry."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        x, factor = (a, b) if isinstance(a, Jet) else (b, a)
        return scaled(x, x.primal * factor, cast("float", factor))
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


def divide(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide entry by entry."""
    if rounding_mode is not None:
        return NotImplemented
    if not isinstance(b, Jet):
        y, inverse = a.primal / b, 1 / b
        if not isinstance(b, Tensor):
            return scaled(a, y, inverse)
        second = None if a.second_order is None else a.second_order * inverse
        tangents = align_rank(a.tangents, y.dim()) * inverse
        return a.with_coefficients(y, tangents, second)
    value = 1 / b.primal
    inverted = chain_rule(b, value, *reciprocal(b.primal, value))
    return multiply(a, inverted)


def matmul(a: Any, b: Any) -> Jet:
    """Multiply matrices, as `torch.matmul` does for all numbers of axes."""
    shapes = [primal_of(a).shape, primal_of(b).shape]
    rank = max(2, *map(len, shapes))

    def batched(operands: list[Any], active: Sequence[int]) -> Tensor:
        full: list[Tensor] = []
        for i, (operand, shape) in enumerate(zip(operands, shapes, strict=True)):
            x, core = operand, min(len(shape), 2)
            if i in active:
                x = expand_trailing(x, shape, core)
            if core == 1:
                x = x.unsqueeze(-1 if i else -2)
            full.append(align_rank(x, rank) if i in active else x)
        y = torch.matmul(*full)
        if len(shapes[1]) == 1:
            y = y.squeeze(-1)
        return (
            y.squeeze(-1 if len(shapes[1]) == 1 else -2) if len(shapes[0]) == 1 else y
        )

    return multilinear((a, b), torch.matmul, batched)


RULES: dict[str, TaylorRule] = {
    "mul multiply __mul__ __rmul__": multiply,
    "div divide true_divide __truediv__": divide,
    "__rdiv__ __rtruediv__": lambda a, b: divide(b, a),
    "matmul mm bmm mv dot vdot __matmul__": matmul,
    "__rmatmul__": lambda a, b: matmul(b, a),
}
