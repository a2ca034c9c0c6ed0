"""Products.

For an operator that is linear in each of several tensors,

    B(x, y)_t = B(x_t, y) + B(x, y_t)
    B(x, y)_l = B(x_l, y) + B(x, y_l) + 2 sum_k B(x_t[k], y_t[k]),

where the last term is there only if both depend on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import aligned, expanded_last, total
from jacengine.program.taylor.elementwise import Rule, mapped
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.powers import reciprocal
from jacengine.program.taylor.pytree_args import value_of
from jacengine.program.taylor.sums import scaled

Lifted = Callable[[list[Any], Sequence[int]], Tensor]
"""The operator on operands of which some, by number, have directions in front."""


def multilinear(
    operands: Sequence[Any], plain: Callable[..., Tensor], lifted: Lifted
) -> Jet:
    """Return the jet of an operator that is linear in each operand.

    Args:
        operands: Jets and constants, at least one a jet.
        plain: The operator on values.
        lifted: The operator on operands of which some have directions in front; it
            gets thin tangents as they are, and may return thin ones.
    """
    values = [value_of(operand) for operand in operands]
    jets = {i: x for i, x in enumerate(operands) if isinstance(x, Jet)}
    tangents = curvature = None

    def put(*replacements: tuple[int, Tensor]) -> list[Any]:
        changed = values.copy()
        for i, replacement in replacements:
            changed[i] = replacement
        return changed

    for i, x in jets.items():
        tangents = total(tangents, lifted(put((i, x.tangents)), (i,)))
        bend = x.dense_curvature()
        if bend is not None:
            curvature = total(curvature, plain(*put((i, bend))))
    for (i, x), (j, y) in combinations(jets.items(), 2):
        pair = lifted(put((i, x.tangents), (j, y.tangents)), (i, j))
        curvature = total(curvature, 2 * pair.sum(0))
    assert tangents is not None
    return next(iter(jets.values())).becomes(plain(*values), tangents, curvature)


def multiply(a: Any, b: Any) -> Jet:
    """Multiply entry by entry."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        x, factor = (a, b) if isinstance(a, Jet) else (b, a)
        return scaled(x, x.primal * factor, cast("float", factor))
    if a is b and isinstance(a, Jet):
        value = a.primal
        return mapped(a, value * value, 2 * value, torch.full_like(value, 2))
    rank = max(value_of(a).dim(), value_of(b).dim())

    def lifted(operands: list[Any], active: Sequence[int]) -> Tensor:
        x, y = (
            aligned(operand, rank) if i in active else operand
            for i, operand in enumerate(operands)
        )
        return x * y

    return multilinear((a, b), torch.mul, lifted)


def divide(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide entry by entry."""
    if rounding_mode is not None:
        return NotImplemented
    if not isinstance(b, Jet):
        y, inverse = a.primal / b, 1 / b
        if not isinstance(b, Tensor):
            return scaled(a, y, inverse)
        curvature = None if a.curvature is None else a.curvature * inverse
        return a.becomes(y, aligned(a.tangents, y.dim()) * inverse, curvature)
    value = 1 / b.primal
    inverted = mapped(b, value, *reciprocal(b.primal, value))
    return multiply(a, inverted)


def matmul(a: Any, b: Any) -> Jet:
    """Multiply matrices, as `torch.matmul` does for all numbers of axes."""
    shapes = [value_of(a).shape, value_of(b).shape]
    rank = max(2, *map(len, shapes))

    def lifted(operands: list[Any], active: Sequence[int]) -> Tensor:
        full: list[Tensor] = []
        for i, (operand, shape) in enumerate(zip(operands, shapes, strict=True)):
            x, core = operand, min(len(shape), 2)
            if i in active:
                x = expanded_last(x, shape, core)
            if core == 1:
                x = x.unsqueeze(-1 if i else -2)
            full.append(aligned(x, rank) if i in active else x)
        y = torch.matmul(*full)
        if len(shapes[1]) == 1:
            y = y.squeeze(-1)
        return (
            y.squeeze(-1 if len(shapes[1]) == 1 else -2) if len(shapes[0]) == 1 else y
        )

    return multilinear((a, b), torch.matmul, lifted)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    table: dict[str, Rule] = {
        "mul multiply __mul__ __rmul__": multiply,
        "div divide true_divide __truediv__": divide,
        "__rdiv__ __rtruediv__": lambda a, b: divide(b, a),
        "matmul mm bmm mv dot vdot __matmul__": matmul,
        "__rmatmul__": lambda a, b: matmul(b, a),
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
