"""The value of a function at SciPy's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine.integrations.scipy.arrays import (
    Array,
    as_arguments,
    as_array,
    as_vector,
)


class Value:
    """A function for SciPy that computes what the user's does."""

    def __init__(self, fn: Callable[..., Tensor], length: int) -> None:
        """Remember the function, and how many entries `x` has."""
        self._fn, self._length = fn, length

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the value at `x`, in memory of its own."""
        vector = as_vector(x, "x", self._length)
        args, named = as_arguments(args, kwargs)
        return evaluate(self._fn, vector, *args, **named)


def evaluate(fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Array:
    """Return the value of a function of tensors, in memory of its own."""
    # With gradients: the function may differentiate something itself.
    with torch.enable_grad():
        return as_array(fn(*args, **kwargs)).copy()
