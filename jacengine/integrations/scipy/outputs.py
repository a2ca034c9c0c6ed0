"""Functions of the user's, whose outputs are checked at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import OutputTypeError

# Functions, to be bound by `functools.partial`: the cache of choices knows a partial by
# the code of its function and of what is bound.


def vector(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    """Return a function's value, a vector `(m,)`; a single number has one entry."""
    value = _float64(fn(*args, **kwargs))
    if value.dim() > 1:
        raise OutputTypeError(
            f"The function returned a tensor of shape {tuple(value.shape)}; SciPy "
            "expects a vector. Return value.flatten()."
        )
    return value.reshape(-1)


def scalar(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    """Return a function's value, a single number."""
    value = _float64(fn(*args, **kwargs))
    if value.dim() != 0:
        raise OutputTypeError(
            f"The function returned a tensor of shape {tuple(value.shape)}; SciPy "
            "minimizes a single number. Return value.sum(), or value.squeeze() if it "
            "is one number with axes."
        )
    return value


def right_hand_side(
    fn: Callable[..., Any], t: Tensor, y: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Return the right-hand side of a differential equation, of the shape of `y`."""
    value = _float64(fn(t, y, *args, **kwargs))
    if value.shape != y.shape:
        raise OutputTypeError(
            f"The right-hand side has shape {tuple(value.shape)}; expected "
            f"{tuple(y.shape)}, the shape of y."
        )
    return value


def samples_first(fn: Callable[..., Any], *args: Any) -> Tensor:
    """Return a right-hand side with the points of the mesh along axis 0."""
    return right_hand_side(fn, *args).movedim(1, 0)


def combination(
    fn: Callable[..., Any], x: Tensor, weights: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Return the sum of a function's outputs times their weights."""
    return (weights * vector(fn, x, *args, **kwargs)).sum()


def _float64(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise OutputTypeError(
            f"The function returned a {type(value).__name__}; expected a torch tensor. "
            "Compute with torch from the tensors that it is called with."
        )
    if value.dtype != torch.float64:
        raise OutputTypeError(
            f"The function returned a tensor of {value.dtype}; expected torch.float64, "
            "which SciPy computes with. Make what it uses float64 too: model.double(), "
            "data.double()."
        )
    return value
