"""`bvp`: callbacks of `solve_bvp`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

from torch import Tensor

from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.arrays import Array, as_array, as_tensor
from jacengine.integrations.scipy.options import PlanOptions, check_options
from jacengine.integrations.scipy.planned import Planned
from jacengine.integrations.scipy.value import evaluate


class BoundaryValueProblem(NamedTuple):
    """A boundary value problem and its Jacobians, as functions of NumPy arrays.

    With unknown parameters `p`, `(k,)`, each takes them as a further argument.

    Attributes:
        fun: The right-hand side `(n, m)` at the points `x`, `(m,)`, and `y`, `(n, m)`.
        bc: The residuals of the boundary conditions, `(n + k,)`.
        fun_jac: The Jacobians of the right-hand side by `y` at each point, `(n, n, m)`;
            with unknown parameters also those by `p`, `(n, k, m)`.
        bc_jac: The Jacobians of the boundary conditions by `y` at both ends, each
            `(n + k, n)`; with unknown parameters also the one by `p`, `(n + k, k)`.
    """

    fun: Callable[..., Any]
    bc: Callable[..., Any]
    fun_jac: Callable[..., Any]
    bc_jac: Callable[..., Any]


def bvp(
    fn: Callable[..., Tensor],
    bc: Callable[..., Tensor],
    **options: Unpack[PlanOptions],
) -> BoundaryValueProblem:
    """Make the callbacks of `scipy.integrate.solve_bvp`.

    Args:
        fn: Maps the points `x`, `(m,)`, the values `y`, `(n, m)`, and the parameters
            `p`, `(k,)`, if there are any, to the derivative of `y` by `x`, `(n, m)`;
            each point by itself, and all float64.
        bc: Maps `y` at the left and right end, each `(n,)`, and `p` if there is any, to
            the residuals of the boundary conditions, `(n + k,)`.
        options: Of `jacengine.plan`, which is called at the first use of a derivative:
            `calls`, `compiled`, `effort`, `memory_budget`, `verify`.

    Returns:
        `fun`, `bc`, `fun_jac` and `bc_jac`.

    Raises:
        ArgumentError: An option is not known.

    Examples:
        >>> import numpy as np, torch
        >>> from scipy.integrate import solve_bvp
        >>> from jacengine.integrations import scipy as jscipy
        >>> problem = jscipy.bvp(
        ...     lambda x, y: torch.stack([y[1], -torch.exp(y[0])]),
        ...     lambda left, right: torch.stack([left[0], right[0]]),
        ... )
        >>> fun, bc, fun_jac, bc_jac = problem
        >>> x, y = np.linspace(0, 1, 5), np.zeros((2, 5))
        >>> found = solve_bvp(fun, bc, x, y, fun_jac=fun_jac, bc_jac=bc_jac)
        >>> print(f"{found.sol(0.5)[0]:.3f}")
        0.141
    """
    check_options(options, PlanOptions)
    callbacks = _Callbacks(fn, bc, options)
    return BoundaryValueProblem(
        callbacks.fun, callbacks.bc, callbacks.fun_jac, callbacks.bc_jac
    )


class _Callbacks:
    """The four functions; further arguments are the unknown parameters, if any."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        bc: Callable[..., Tensor],
        options: PlanOptions,
    ) -> None:
        self._fn = functools.partial(outputs.right_hand_side, fn)
        self._bc = functools.partial(outputs.vector, bc)
        side = functools.partial(outputs.samples_first, fn)
        alone = {**options, "wrt": 1, "batch_dim": (0, 1)}
        with_p = {**options, "wrt": (1, 2), "batch_dim": (0, 1, None)}
        self._sides = (Planned(side, alone), Planned(side, with_p))
        self._ends = (
            Planned(self._bc, {**options, "wrt": (0, 1)}),
            Planned(self._bc, {**options, "wrt": (0, 1, 2)}),
        )

    def fun(self, x: Any, y: Any, *p: Any) -> Array:
        """Return the right-hand side, in memory of its own."""
        return evaluate(self._fn, *_mesh(x, y), *_parameters(p))

    def bc(self, left: Any, right: Any, *p: Any) -> Array:
        """Return the residuals of the boundary conditions, in memory of its own."""
        return evaluate(self._bc, *_ends(left, right), *_parameters(p))

    def fun_jac(self, x: Any, y: Any, *p: Any) -> Any:
        """Return the Jacobians of the right-hand side, points along the last axis."""
        found = self._sides[len(p)](*_mesh(x, y), *_parameters(p))
        if not p:
            return as_array(found.movedim(0, -1))
        return tuple(as_array(each.movedim(0, -1)) for each in found)

    def bc_jac(self, left: Any, right: Any, *p: Any) -> tuple[Array, ...]:
        """Return the Jacobians of the boundary conditions."""
        found = self._ends[len(p)](*_ends(left, right), *_parameters(p))
        return tuple(map(as_array, found))


def _mesh(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    return as_tensor(x, "x", 1), as_tensor(y, "y", 2)


def _ends(left: Any, right: Any) -> tuple[Tensor, Tensor]:
    return as_tensor(left, "y at the left end", 1), as_tensor(
        right, "y at the right end", 1
    )


def _parameters(p: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(as_tensor(each, "p", 1) for each in p)
