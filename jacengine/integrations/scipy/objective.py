"""`objective`: callbacks of `minimize`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

from torch import Tensor

from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.arrays import Array, as_array, as_vector
from jacengine.integrations.scipy.matrices import (
    Matrix,
    Products,
    Sparse,
    check_sparse,
)
from jacengine.integrations.scipy.options import PlanOptions, check_options
from jacengine.integrations.scipy.shared import Point, SharedEvaluation
from jacengine.linear_operators.jacobian_operator import JacobianOperator


class Objective(NamedTuple):
    """A function to minimize and its derivatives, as functions of NumPy arrays.

    Attributes:
        fun: The value at `x`.
        jac: The gradient `(n,)`.
        hess: The Hessian `(n, n)`, an array or a CSR array.
        hessp: The Hessian at `x` times a vector `p`, `(n,)`.
    """

    fun: Callable[..., Any]
    jac: Callable[..., Any]
    hess: Callable[..., Any]
    hessp: Callable[..., Any]


def objective(
    fn: Callable[..., Tensor],
    x0: Any,
    *,
    sparse: Sparse = None,
    **options: Unpack[PlanOptions],
) -> Objective:
    """Make the callbacks of `scipy.optimize.minimize`.

    All take what SciPy passes: `x`, and its `args`, of which NumPy arrays become
    tensors. Value and gradient come from one evaluation of `fn`, where a solver wants
    both at the same `x`; and products with the Hessian at the same `x` from one
    linearization. `fun` computes anew whenever it is called, so change what `fn` reads
    before a call of `fun`, and not between that and the derivatives at the same `x`.

    Args:
        fn: Maps a 1-D float64 tensor `(n,)` to a number, a 0-D float64 tensor.
        x0: The starting point, which says how many entries `x` has.
        sparse: `None` for Hessians that are arrays, `"csr"` for CSR arrays, computed
            by colours of the sparsity pattern.
        options: Of `jacengine.plan`, which is called at the first use of a derivative:
            `calls`, `compiled`, `effort`, `memory_budget`, `verify`.

    Returns:
        `fun`, `jac`, `hess` and `hessp`; use those that the method of `minimize` takes.

    Raises:
        ArgumentError: An option does not fit, or `x0` is no vector.
        InputTypeError: `x0` has entries that are no real numbers.

    Examples:
        >>> import numpy as np
        >>> from scipy.optimize import minimize
        >>> from jacengine.integrations import scipy as jscipy
        >>> def rosenbrock(x):
        ...     return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        >>> f = jscipy.objective(rosenbrock, np.zeros(4))
        >>> x0, method = np.zeros(4), "trust-exact"
        >>> minimize(f.fun, x0, jac=f.jac, hess=f.hess, method=method).x.round(3)
        array([1., 1., 1., 1.])
    """
    check_sparse(sparse, (None, "csr"))
    check_options(options, PlanOptions)
    length, scalar = len(as_vector(x0, "x0")), functools.partial(outputs.scalar, fn)
    callbacks = _Callbacks(scalar, length, options)
    hess = Matrix(scalar, length, sparse, {**options, "quantity": "hessian"})
    return Objective(callbacks.fun, callbacks.jac, hess, callbacks.hessp)


class _Callbacks:
    """Value, gradient and products with the Hessian, which share what they compute."""

    def __init__(
        self, fn: Callable[..., Tensor], length: int, options: PlanOptions
    ) -> None:
        both = SharedEvaluation(fn, length, options)
        self.jac, self._value, self._length = both.jac, both.fun, length
        self._products = Products(fn, length, "hessian", {})
        self._linearized: tuple[Point, JacobianOperator] | None = None

    def fun(self, x: Any, *args: Any, **kwargs: Any) -> Array:
        """Return the value, and forget what was linearized before."""
        self._linearized = None
        return self._value(x, *args, **kwargs)

    def hessp(self, x: Any, p: Any, *args: Any, **kwargs: Any) -> Array:
        """Multiply the Hessian at `x` with `p`."""
        direction = as_vector(p, "p", self._length)
        point = Point.of(as_vector(x, "x", self._length), args, kwargs)
        linearized = self._linearized
        if linearized is None or not linearized[0].same(point):
            linearized = point, self._products.at(x, args, kwargs)
            self._linearized = linearized
        return as_array(linearized[1] @ direction)
