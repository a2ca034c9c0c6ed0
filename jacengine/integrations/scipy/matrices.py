"""Jacobians and Hessians for SciPy's optimizers: dense, sparse, or by products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from jacengine.api.operator import operator
from jacengine.errors import ArgumentError, PlanMismatchError
from jacengine.integrations.scipy.arrays import (
    as_arguments,
    as_array,
    as_csr,
    as_vector,
)
from jacengine.integrations.scipy.options import OperatorOptions
from jacengine.integrations.scipy.planned import Planned
from jacengine.linear_operators.jacobian_operator import JacobianOperator
from jacengine.plans.plan import Plan

Sparse = Literal["csr"] | None


class Matrix:
    """A matrix of derivatives at `x`, `(m, n)`, dense or as a CSR array."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        length: int,
        sparse: Sparse,
        options: Mapping[str, Any],
    ) -> None:
        """Remember the function, the length of `x`, and options of `plan`."""
        layout = {} if sparse is None else {"layout": sparse}
        self._planned, self._length = Planned(fn, {**options, **layout}), length
        self._convert = as_array if sparse is None else as_csr

    @property
    def plan(self) -> Plan | None:
        """The plan in use; `None` before the first call."""
        return self._planned.plan

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the matrix, in memory that later calls do not change."""
        vector = as_vector(x, "x", self._length)
        args, named = as_arguments(args, kwargs)
        return self._convert(self._planned(vector, *args, kwargs=named))


class Products:
    """A Jacobian or Hessian at `x` as a linear operator, which is never formed."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        length: int,
        quantity: Literal["jacobian", "hessian"],
        options: OperatorOptions,
    ) -> None:
        """Remember the function, the length of `x`, and options of `operator`."""
        self._fn, self._length = fn, length
        self._quantity: Literal["jacobian", "hessian"] = quantity
        self._options = options
        self._latest: JacobianOperator | None = None

    def at(self, x: Any, args: tuple[Any, ...], kwargs: Any) -> JacobianOperator:
        """Return the operator at `x`; how it computes is chosen at the first call."""
        vector = as_vector(x, "x", self._length)
        args, named = as_arguments(args, kwargs)
        try:
            if self._latest is not None:
                self._latest = self._latest.at(vector, *args, kwargs=named)
                return self._latest
        except PlanMismatchError:
            pass
        self._latest = operator(
            self._fn,
            vector,
            *args,
            kwargs=named,
            quantity=self._quantity,
            **self._options,
        )
        return self._latest

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> LinearOperator[Any]:
        """Return the linear operator at `x`."""
        return self.at(x, args, kwargs).linear_operator()


def check_sparse(sparse: Any, known: tuple[str | None, ...]) -> None:
    """Refuse a kind of matrix that there is not.

    Raises:
        ArgumentError: It is none of those known.
    """
    if sparse not in known:
        raise ArgumentError(
            f"sparse={sparse!r}: expected one of {', '.join(map(repr, known))}."
        )
