"""Views, permutations, selection and concatenation: y_t = op(t), y_s = op(s).

The tangents' axis of directions stays in front, and the others are counted from it.
Applied to views of full size, broadcast tangents stay so: repeated axes have stride 0.
Constants among several tensors have no tangents: zeros, stored for broadcasting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.jet import (
    Jet,
    LazyTangents,
    TaylorRule,
    add_coefficients,
    align_rank,
    jets_in,
    primal_of,
    primals_of,
)


def _reshape(function: TaylorRule) -> TaylorRule:
    """Return the rule of a function that the shape of its value describes."""

    def rule(x: Jet, *shape: Any, **named: Any) -> Any:
        y = function(x.primal, *shape, **named)
        if y.dtype is not x.primal.dtype:
            return NotImplemented
        if y is x.primal:
            return x
        second = x.dense_second_order()
        return x.with_coefficients(
            y,
            LazyTangents(
                lambda: x.apply_to_tangents(lambda t: t.reshape(t.shape[0], *y.shape))
            ),
            None if second is None else second.reshape(y.shape),
        )

    return rule


def _expand(function: TaylorRule) -> TaylorRule:
    """Return the rule of a function that repeats entries without a copy."""

    def rule(x: Jet, *shape: Any, **named: Any) -> Any:
        y = function(x.primal, *shape, **named)
        return x.with_coefficients(y, align_rank(x.tangents, y.dim()), x.second_order)

    return rule


def _transpose(x: Jet, a: int, b: int) -> Jet:
    rank = x.primal.dim()
    y = x.primal.transpose(a, b)
    if not rank:
        return x
    return x.apply_linear(y, lambda t: t.transpose(a % rank + 1, b % rank + 1))


def transpose_matrix(x: Jet) -> Jet:
    """Exchange the axes of a matrix, or leave a vector as it is."""
    return x if x.primal.dim() < 2 else _reverse_axes(x)


def _reverse_axes(x: Jet) -> Jet:
    return _permute(x, *reversed(range(x.primal.dim())))


def _permute(x: Jet, *dims: Any) -> Jet:
    order: Sequence[int] = dims[0] if dims and not isinstance(dims[0], int) else dims
    return x.apply_linear(
        x.primal.permute(*order), lambda t: t.permute(0, *_behind(order, x))
    )


def _movedim(x: Jet, source: Any, destination: Any) -> Jet:
    return x.apply_linear(
        x.primal.movedim(source, destination),
        lambda t: t.movedim(_behind(source, x), _behind(destination, x)),
    )


def _behind(axes: int | Sequence[int], x: Jet) -> list[int]:
    """Return the axes of the jet's tangents that are those of its primal."""
    every = [axes] if isinstance(axes, int) else axes
    return [axis % x.primal.dim() + 1 for axis in every]


def _getitem(x: Jet, index: Any) -> Any:
    parts: tuple[Any, ...] = index if isinstance(index, tuple) else (index,)
    lists = [part for part in parts if isinstance(part, (Tensor, list))]
    if any(isinstance(part, bool) for part in parts):
        return NotImplemented
    y = x.primal[index]
    if len(lists) <= 1:
        return x.apply_linear(y, lambda t: t[(slice(None), *parts)])
    # Several lists may bring their axis to the front; directions then follow last.
    behind = (*parts, slice(None)) if any(p is ... for p in parts) else parts
    return x.apply_linear(y, lambda t: t.movedim(0, -1)[behind].movedim(-1, 0))


def _narrow(x: Jet, axis: int, start: int, size: int) -> Jet:
    y = x.primal.narrow(axis, start, size)
    return x.apply_linear(y, lambda t: t.narrow(axis + 1, start, size))


def _split(function: TaylorRule) -> TaylorRule:
    """Return the rule of a function that cuts an axis into sections."""

    def rule(x: Jet, sizes: Any, dim: int = 0) -> tuple[Jet, ...]:
        axis = dim % x.primal.dim()
        lengths = [part.shape[axis] for part in function(x.primal, sizes, dim)]
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        return tuple(
            _narrow(x, axis, *ends) for ends in zip(starts, lengths, strict=True)
        )

    return rule


def _unbind(x: Jet, dim: int = 0) -> tuple[Jet, ...]:
    axis = dim % x.primal.dim()
    return tuple(
        x.apply_linear(y, lambda t, i=i: t.select(axis + 1, i))  # type: ignore[misc]
        for i, y in enumerate(x.primal.unbind(axis))
    )


def _cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    first = next(jets_in(tensors))
    y = torch.cat(primals_of(list(tensors)), dim)
    rank = y.dim()
    axis = dim % rank
    if any(tensor.dim() != rank for tensor in map(primal_of, tensors)):
        return NotImplemented  # what torch still allows: an empty vector
    active = [tensor for tensor in tensors if isinstance(tensor, Jet)]
    # Axes that all tensors repeat stay broadcast.
    widest = [
        max(sizes) for sizes in zip(*(a.tangents.shape for a in active), strict=True)
    ]
    zero = first.primal.new_zeros(())

    def tangents(tensor: Any) -> Tensor:
        sizes = widest.copy()
        sizes[axis + 1] = primal_of(tensor).shape[axis]
        return (tensor.tangents if isinstance(tensor, Jet) else zero).expand(sizes)

    second = None
    if any(tensor.second_order is not None for tensor in active):
        parts: list[Tensor] = []
        for tensor in tensors:
            own = tensor.second_order if isinstance(tensor, Jet) else None
            shape = primal_of(tensor).shape
            parts.append((zero if own is None else own).expand(shape))
        second = torch.cat(parts, axis)
    joined = torch.cat([tangents(p) for p in tensors], axis + 1)
    return first.with_coefficients(y, joined, second)


def _stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    axis = dim % (primal_of(tensors[0]).dim() + 1)

    def unsqueezed(tensor: Any) -> Any:
        y = primal_of(tensor).unsqueeze(axis)
        if not isinstance(tensor, Jet):
            return y
        return tensor.apply_linear(y, lambda t: t.unsqueeze(axis + 1))

    return _cat([unsqueezed(tensor) for tensor in tensors], axis)


def _where(condition: Tensor, a: Any, b: Any) -> Any:
    """Take entries from one of two, either a jet."""
    first = next(jets_in((condition, a, b)))
    if condition is first:
        return NotImplemented
    y = torch.where(condition, primal_of(a), primal_of(b))
    tangents = second = None
    for source, taken in ((a, condition), (b, ~condition)):
        if isinstance(source, Jet):
            zero = source.primal.new_zeros(())
            own = torch.where(taken, align_rank(source.tangents, y.dim()), zero)
            tangents = add_coefficients(tangents, own)
            if source.second_order is not None:
                own = torch.where(taken, source.second_order, zero)
                second = add_coefficients(second, own)
    assert tangents is not None
    return first.with_coefficients(y, align_rank(tangents, y.dim()), second)


RULES: dict[str, TaylorRule] = {
    "transpose swapaxes swapdims": _transpose,
    "t": transpose_matrix,
    "adjoint Tensor.mT Tensor.mH": lambda x: _transpose(x, -2, -1),
    "Tensor.T Tensor.H": _reverse_axes,
    "permute": _permute,
    "movedim moveaxis": _movedim,
    "__getitem__": _getitem,
    "unbind": _unbind,
    "cat concat concatenate": _cat,
    "stack": _stack,
    "torch.where": _where,
    "Tensor.where": lambda a, condition, b: _where(condition, a, b),
    "masked_fill": lambda x, mask, value: _where(~mask, x, value),
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "reshape view view_as reshape_as flatten unflatten ravel unsqueeze squeeze "
    "atleast_1d atleast_2d": _reshape,
    "expand expand_as broadcast_to": _expand,
    "split split_with_sizes chunk tensor_split": _split,
}
