"""Operators that move entries about: y_t = op(t), y_l = op(l).

The tangents' axis of directions stays in front, and the others are counted from it.
Moved as views of full size, thin tangents stay thin: axes that repeat show in strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import aligned
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.lazy import Deferred


def reshaped(function: Rule) -> Rule:
    """Return the rule of a function whose value tells the shape."""

    def rule(x: Jet, *shape: Any, **named: Any) -> Any:
        y = function(x.primal, *shape, **named)
        if y.dtype is not x.primal.dtype:
            return NotImplemented
        if y is x.primal:
            return x
        curvature = x.dense_curvature()
        return x.becomes(
            y,
            Deferred(
                lambda: x.moved_tangents(lambda t: t.reshape(t.shape[0], *y.shape))
            ),
            None if curvature is None else curvature.reshape(y.shape),
        )

    return rule


def broadcast(function: Rule) -> Rule:
    """Return the rule of a function that repeats entries without a copy."""

    def rule(x: Jet, *shape: Any, **named: Any) -> Any:
        y = function(x.primal, *shape, **named)
        return x.becomes(y, aligned(x.tangents, y.dim()), x.curvature)

    return rule


def along(function: Callable[..., Tensor], place: int = 0) -> Rule:
    """Return the rule of a function with one axis among its arguments.

    Args:
        function: Takes the tensor, then the axis at `place` of the other arguments.
        place: Where the axis stands; it may come by the name `dim` too.
    """

    def rule(x: Jet, *args: Any, **named: Any) -> Any:
        rank = x.primal.dim()
        if not rank:
            return NotImplemented
        given = list(args)
        if "dim" in named:
            given.insert(place, named.pop("dim"))
        axes = given[place]
        if isinstance(axes, int):
            shifted: Any = axes % rank + 1
        else:
            shifted = [axis % rank + 1 for axis in axes]
        y = function(x.primal, *given, **named)
        given[place] = shifted
        return x.moved(y, lambda t: function(t, *given, **named))

    return rule


def trailing(function: Callable[..., Tensor]) -> Rule:
    """Return the rule of a function of the last axes, which leaves others alone."""

    def rule(x: Jet, *args: Any, **named: Any) -> Jet:
        y = function(x.primal, *args, **named)
        return x.moved(y, lambda t: function(t, *args, **named))

    return rule


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    for name in [
        "reshape",
        "view",
        "view_as",
        "reshape_as",
        "flatten",
        "unflatten",
        "ravel",
        "unsqueeze",
        "squeeze",
        "atleast_1d",
        "atleast_2d",
    ]:
        for function in spellings(name):
            yield function, reshaped(function)
    for function in spellings("expand", "expand_as", "broadcast_to"):
        yield function, broadcast(function)
    table: dict[str, Rule] = {
        "flip": along(torch.flip),
        "narrow": along(torch.narrow),
        "index_select": along(torch.index_select),
        "select": along(torch.select),
        "tril": trailing(torch.tril),
        "triu": trailing(torch.triu),
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
