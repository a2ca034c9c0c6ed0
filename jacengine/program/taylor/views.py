"""Views and permutations of entries: y_t = op(t), y_s = op(s).

The tangents' axis of directions stays in front, and the others are counted from it.
Applied to views of full size, broadcast tangents stay so: repeated axes have stride 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jacengine.program.taylor.broadcast_tangents import align_rank
from jacengine.program.taylor.jet import Jet, TaylorRule
from jacengine.program.taylor.lazy import LazyTangents


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
    rank = max(x.primal.dim(), 1)
    y = x.primal.transpose(a, b)
    if not x.primal.dim():
        return x
    return x.apply_linear(y, lambda t: t.transpose(a % rank + 1, b % rank + 1))


def transpose_matrices(x: Jet) -> Jet:
    """Exchange the last two axes."""
    return _transpose(x, -2, -1)


def transpose_matrix(x: Jet) -> Jet:
    """Exchange the axes of a matrix, or leave a vector as it is."""
    return x if x.primal.dim() < 2 else _reverse_axes(x)


def _reverse_axes(x: Jet) -> Jet:
    return _permute(x, *reversed(range(x.primal.dim())))


def _permute(x: Jet, *dims: Any) -> Jet:
    order: Sequence[int] = dims[0] if dims and not isinstance(dims[0], int) else dims
    rank = x.primal.dim()
    y = x.primal.permute(*order)
    return x.apply_linear(
        y, lambda t: t.permute(0, *(axis % rank + 1 for axis in order))
    )


def _movedim(x: Jet, source: Any, destination: Any) -> Jet:
    rank = x.primal.dim()

    def shifted(dims: int | Sequence[int]) -> list[int]:
        every = [dims] if isinstance(dims, int) else dims
        return [axis % rank + 1 for axis in every]

    y = x.primal.movedim(source, destination)
    return x.apply_linear(y, lambda t: t.movedim(shifted(source), shifted(destination)))


RULES: dict[str, TaylorRule] = {
    "transpose swapaxes swapdims": _transpose,
    "t": transpose_matrix,
    "adjoint Tensor.mT Tensor.mH": transpose_matrices,
    "Tensor.T Tensor.H": _reverse_axes,
    "permute": _permute,
    "movedim moveaxis": _movedim,
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "reshape view view_as reshape_as flatten unflatten ravel unsqueeze squeeze "
    "atleast_1d atleast_2d": _reshape,
    "expand expand_as broadcast_to": _expand,
}
