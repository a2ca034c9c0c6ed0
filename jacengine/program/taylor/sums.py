"""Sums: of tensors, and over axes.

(a + c b)_t = a_t + c b_t,    (a + c b)_l = a_l + c b_l
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import aligned, total
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.pytree_args import value_of


def scaled(x: Jet, y: Tensor, factor: float) -> Jet:
    """Return y, which changes by a factor of the jet's changes."""
    tangents, curvature = aligned(x.tangents, y.dim()), x.curvature
    if factor != 1:
        tangents = factor * tangents
        curvature = None if curvature is None else factor * curvature
    return x.becomes(y, tangents, curvature)


def add(a: Any, b: Any, alpha: float = 1) -> Jet:
    """Return a + alpha b, either a jet."""
    left, right = value_of(a), value_of(b)
    if alpha == 1:
        y = left + right
    else:
        y = left - right if alpha == -1 else left + alpha * right
    if not isinstance(b, Jet):
        return scaled(a, y, 1)
    moved = scaled(b, y, alpha)
    if not isinstance(a, Jet):
        return moved
    tangents = aligned(a.tangents, y.dim()) + moved.tangents
    return a.becomes(y, tangents, total(a.curvature, moved.curvature))


def subtract(a: Any, b: Any, alpha: float = 1) -> Jet:
    """Return a - alpha b, either a jet."""
    return add(a, b, -alpha)


def reduced(function: Callable[..., Tensor], *, average: bool) -> Rule:
    """Return the rule of a sum or a mean over axes, all without `dim`."""

    def rule(
        x: Jet,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        *,
        dtype: torch.dtype | None = None,
    ) -> Any:
        rank = x.primal.dim()
        axes = [dim] if isinstance(dim, int) else dim
        if isinstance(dim, torch.dtype) or not rank:
            return NotImplemented
        over = [axis % rank for axis in axes or range(rank)]
        y = function(x.primal, over, keepdim, dtype=dtype)
        # Axes that stay may stay thin; thin axes that are summed count their entries.
        tangents, shape = x.tangents, x.primal.shape
        thin = [axis for axis in over if tangents.shape[axis + 1] != shape[axis]]
        counted = 1 if average else math.prod(shape[axis] for axis in thin)
        tangents = function(tangents, [axis + 1 for axis in over], keepdim)
        tangents = counted * tangents if counted != 1 else tangents
        curvature = x.dense_curvature()
        if curvature is not None:
            curvature = function(curvature, over, keepdim)
        return x.becomes(y, tangents, curvature)

    return rule


def cumulated(x: Jet, dim: int, *, dtype: torch.dtype | None = None) -> Jet:
    """Sum up to each entry of an axis."""
    axis = dim % max(x.primal.dim(), 1)
    y = torch.cumsum(x.primal, axis, dtype=dtype)
    if not x.primal.dim():
        return x.becomes(y, x.tangents, x.curvature)
    return x.moved(y, lambda t: torch.cumsum(t, axis + 1))


def traced(x: Jet) -> Jet:
    """Sum a diagonal."""
    return x.moved(
        torch.trace(x.primal), lambda t: t.diagonal(dim1=-2, dim2=-1).sum(-1)
    )


def as_kind(function: Callable[..., Tensor]) -> Rule:
    """Return the rule of a copy: of another dtype or device, contiguous, cloned."""

    def rule(x: Jet, *args: Any, **kwargs: Any) -> Any:
        y = function(x.primal, *map(value_of, args), **kwargs)
        if y is x.primal:
            return x
        if not (isinstance(y, Tensor) and y.is_floating_point()):
            return y
        device = y.device
        curvature = None if x.curvature is None else x.curvature.to(device)
        return x.becomes(y, x.tangents.to(device), curvature)

    return rule


COPIES = "clone contiguous to type type_as float double half bfloat16 cpu cuda"


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    table: dict[str, Rule] = {
        "add __add__ __radd__": add,
        "sub subtract __sub__": subtract,
        "rsub __rsub__": lambda a, b, alpha=1: add(b, a, -alpha),
        "neg negative": lambda x: scaled(x, -x.primal, -1),
        "positive": lambda x: x,
        "sum": reduced(torch.sum, average=False),
        "mean": reduced(torch.mean, average=True),
        "cumsum": cumulated,
        "trace": traced,
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
    for name in COPIES.split():
        for function in spellings(name):
            yield function, as_kind(function)
