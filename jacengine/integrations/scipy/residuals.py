"""`residuals`: callbacks of `least_squares` and `root`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Unpack

from torch import Tensor

from jacengine.errors import ArgumentError
from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.arrays import as_vector
from jacengine.integrations.scipy.matrices import Matrix, Products, check_sparse
from jacengine.integrations.scipy.options import (
    JacobianOptions,
    OperatorOptions,
    check_options,
)
from jacengine.integrations.scipy.shared import SharedEvaluation
from jacengine.integrations.scipy.value import Value


class Residuals(NamedTuple):
    """Residuals and their Jacobian, as functions of NumPy arrays.

    Attributes:
        fun: The residuals `(m,)` at `x`.
        jac: Their Jacobian `(m, n)`: an array, a CSR array or a `LinearOperator`.
    """

    fun: Callable[..., Any]
    jac: Callable[..., Any]


def residuals(
    fn: Callable[..., Tensor],
    x0: Any,
    *,
    sparse: Literal["csr", "operator"] | None = None,
    share_evaluation: bool = False,
    **options: Unpack[JacobianOptions],
) -> Residuals:
    """Make the callbacks of `scipy.optimize.least_squares` and `root`.

    Both take what SciPy passes: `x`, and its `args` and `kwargs`, of which NumPy arrays
    become tensors.

    Args:
        fn: Maps a 1-D float64 tensor `(n,)` to residuals, a float64 tensor `(m,)`.
        x0: The starting point, which says how many entries `x` has.
        sparse: `None` for arrays. `"csr"` for CSR arrays, computed by colours of the
            sparsity pattern. `"operator"` for linear operators, which multiply without
            forming J.
        share_evaluation: Whether `fun` computes J in the same evaluation of `fn`, for
            `jac` at the same `x`, where J was wanted at the point before. That pays
            where J costs little more than the residuals, and most steps are accepted.
            Between such two calls, nothing that `fn` reads may change.
        options: Of `jacengine.plan`, which is called at the first `jac(x)`: `calls`,
            `compiled`, `effort`, `exclude`, `memory_budget`, `sparsity`, `strategies`,
            `verify`; with `"operator"` only `exclude` and `strategies`.

    Returns:
        `fun` and `jac`; after the first call `jac.plan` is the plan of an array or a
        CSR array, and `jac.plan.explain()` says how it computes, and why.

    Raises:
        ArgumentError: An option does not fit, or `x0` is no vector.
        InputTypeError: `x0` has entries that are no real numbers.

    Examples:
        >>> import torch
        >>> from scipy.optimize import least_squares
        >>> from jacengine.integrations import scipy as jscipy
        >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)
        >>> y = 2 * torch.exp(-3 * t)
        >>> def misfit(x):
        ...     return x[0] * torch.exp(x[1] * t) - y
        >>> fun, jac = jscipy.residuals(misfit, [1, 0])
        >>> least_squares(fun, [1, 0], jac).x.round(6)
        array([ 2., -3.])
    """
    check_sparse(sparse, (None, "csr", "operator"))
    check_options(options, OperatorOptions if sparse == "operator" else JacobianOptions)
    length, vector = len(as_vector(x0, "x0")), functools.partial(outputs.vector, fn)
    if share_evaluation:
        if sparse is not None:
            raise ArgumentError(
                f"share_evaluation=True is for dense Jacobians, not for {sparse!r}. "
                "Leave one of the two out."
            )
        both = SharedEvaluation(vector, length, options)
        return Residuals(both.fun, both.jac)
    fun = Value(vector, length)
    if sparse == "operator":
        return Residuals(fun, Products(vector, length, "jacobian", options))
    return Residuals(fun, Matrix(vector, length, sparse, options))
