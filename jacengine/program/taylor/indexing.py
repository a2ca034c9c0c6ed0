"""Operators that take tensors apart and put them together: linear, as in `views`.

Constants among the pieces have no tangents: zeros, kept thin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet, jets_in
from jacengine.program.taylor.pytree_args import primals_of, value_of


def indexed(x: Jet, index: Any) -> Any:
    """Take entries, by any index that torch takes."""
    parts: tuple[Any, ...] = index if isinstance(index, tuple) else (index,)
    lists = [part for part in parts if isinstance(part, (Tensor, list))]
    if any(isinstance(part, bool) for part in parts):
        return NotImplemented
    y = x.primal[index]
    if len(lists) <= 1:
        return x.moved(y, lambda t: t[(slice(None), *parts)])
    # Several lists may bring their axis to the front; directions then follow last.
    behind = (*parts, slice(None)) if any(p is ... for p in parts) else parts
    return x.moved(y, lambda t: t.movedim(0, -1)[behind].movedim(-1, 0))


def section(x: Jet, axis: int, start: int, size: int) -> Jet:
    """Take neighbouring entries of an axis."""
    y = x.primal.narrow(axis, start, size)
    return x.moved(y, lambda t: t.narrow(axis + 1, start, size))


def divided(function: Rule) -> Rule:
    """Return the rule of a function that cuts an axis into sections."""

    def rule(x: Jet, sizes: Any, dim: int = 0) -> tuple[Jet, ...]:
        axis = dim % x.primal.dim()
        lengths = [part.shape[axis] for part in function(x.primal, sizes, dim)]
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        return tuple(
            section(x, axis, *ends) for ends in zip(starts, lengths, strict=True)
        )

    return rule


def unbound(x: Jet, dim: int = 0) -> tuple[Jet, ...]:
    """Cut an axis into its entries."""
    axis = dim % x.primal.dim()
    parts = x.primal.unbind(axis)
    return tuple(
        x.moved(y, lambda t, i=i: t.select(axis + 1, i))  # type: ignore[misc]
        for i, y in enumerate(parts)
    )


def joined(pieces: Sequence[Any], dim: int = 0) -> Any:
    """Put tensors one after another along an axis."""
    first = next(jets_in(pieces))
    y = torch.cat(primals_of(list(pieces)), dim)
    rank = y.dim()
    axis = dim % rank
    if any(piece.dim() != rank for piece in map(value_of, pieces)):
        return NotImplemented  # what torch still allows: an empty vector
    active = [piece for piece in pieces if isinstance(piece, Jet)]
    # Axes that all pieces repeat stay thin.
    widest = [
        max(sizes) for sizes in zip(*(a.tangents.shape for a in active), strict=True)
    ]
    nothing = first.primal.new_zeros(())

    def tangents(piece: Any) -> Tensor:
        sizes = widest.copy()
        sizes[axis + 1] = value_of(piece).shape[axis]
        return (piece.tangents if isinstance(piece, Jet) else nothing).expand(sizes)

    curvature = None
    if any(piece.curvature is not None for piece in active):
        bends = [p.curvature if isinstance(p, Jet) else None for p in pieces]
        curvature = torch.cat(
            [
                (nothing if bend is None else bend).expand(value_of(piece).shape)
                for piece, bend in zip(pieces, bends, strict=True)
            ],
            axis,
        )
    return first.becomes(
        y, torch.cat([tangents(p) for p in pieces], axis + 1), curvature
    )


def stacked(pieces: Sequence[Any], dim: int = 0) -> Any:
    """Put tensors side by side along a new axis."""
    axis = dim % (value_of(pieces[0]).dim() + 1)

    def lifted(piece: Any) -> Any:
        if not isinstance(piece, Jet):
            return piece.unsqueeze(axis)
        y = piece.primal.unsqueeze(axis)
        return piece.moved(y, lambda t: t.unsqueeze(axis + 1))

    return joined([lifted(piece) for piece in pieces], axis)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    table: dict[str, Rule] = {
        "__getitem__": indexed,
        "unbind": unbound,
        "cat concat concatenate": joined,
        "stack": stacked,
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
    for name in ("split", "split_with_sizes", "chunk", "tensor_split"):
        for function in spellings(name):
            yield function, divided(function)
