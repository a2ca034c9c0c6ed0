"""A function's value and its derivative from one evaluation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jacengine.integrations.scipy.arrays import (
    Array,
    as_arguments,
    as_array,
    as_vector,
)
from jacengine.integrations.scipy.planned import Planned
from jacengine.integrations.scipy.value import evaluate
from jacengine.plans.plan import Plan


class Point(NamedTuple):
    """The arguments of a call: `x` by its values, others by identity."""

    x: bytes
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, x: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Point:
        """Take the point of a call."""
        return cls(np.asarray(x, np.float64).tobytes(), args, kwargs)

    def same(self, other: Point) -> bool:
        """Tell whether another call is at this point."""
        return (
            self.x == other.x
            and len(self.args) == len(other.args)
            and all(a is b for a, b in zip(self.args, other.args, strict=True))
            and self.kwargs.keys() == other.kwargs.keys()
            and all(value is other.kwargs[name] for name, value in self.kwargs.items())
        )


class SharedEvaluation:
    """The value and the derivative of a function, from one pass where both are used.

    The value is the derivative by a factor of the function, at 1; so one plan computes
    both, by whatever method. A solver that asks for the derivative at one point is
    taken to do so at the next one too; then `fun` computes both, and `jac` at the same
    point returns what is there. `fun` always computes anew, because what the function
    reads may have changed since.
    """

    def __init__(
        self, fn: Callable[..., Tensor], length: int, options: Mapping[str, Any]
    ) -> None:
        """Remember the function, the length of `x`, and options of `jacengine.plan`."""
        self._fn, self._length = fn, length
        scaled = functools.partial(_scaled, fn)
        self._both = Planned(scaled, {**options, "wrt": (0, 1)})
        self._one = torch.ones((), dtype=torch.float64, device="cpu")
        self._pending: tuple[Point, Array] | None = None
        self._wanted = False

    @property
    def plan(self) -> Plan | None:
        """The plan of both; `None` before the derivative is asked for."""
        return self._both.plan

    def fun(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the value at `x`, in memory of its own."""
        self._pending, wanted, self._wanted = None, self._wanted, False
        vector = as_vector(x, "x", self._length)
        if not wanted:
            tensors, named = as_arguments(args, kwargs)
            return evaluate(self._fn, vector, *tensors, **named)
        derivative, value = self._compute(vector, args, kwargs)
        self._pending = Point.of(vector, args, kwargs), derivative
        return value

    def jac(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the derivative at `x`, in memory that later calls do not change."""
        vector = as_vector(x, "x", self._length)
        pending, self._pending, self._wanted = self._pending, None, True
        if pending is not None:
            point, derivative = pending
            if point.same(Point.of(vector, args, kwargs)):
                return derivative
        return self._compute(vector, args, kwargs)[0]

    def _compute(
        self, x: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Array, Array]:
        """Return the derivative and the value."""
        tensors, named = as_arguments(args, kwargs)
        derivative, value = self._both(x, self._one, *tensors, kwargs=named)
        return as_array(derivative), as_array(value)


def _scaled(
    fn: Callable[..., Tensor], x: Tensor, factor: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    return factor * fn(x, *args, **kwargs)
