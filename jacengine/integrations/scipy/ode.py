"""`ode`: callbacks of `solve_ivp`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import numpy as np
from torch import Tensor

from jacengine.errors import ArgumentError
from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.arrays import (
    Array,
    as_arguments,
    as_array,
    as_csr,
    as_tensor,
    as_vector,
)
from jacengine.integrations.scipy.matrices import Sparse, check_sparse
from jacengine.integrations.scipy.options import JacobianOptions, check_options
from jacengine.integrations.scipy.planned import Planned
from jacengine.integrations.scipy.value import evaluate
from jacengine.plans.plan import Plan


class Ode(NamedTuple):
    """The right-hand side of an ODE and its Jacobian, as functions of NumPy arrays.

    Attributes:
        fun: The derivative of `y` by time, `(n,)`, at `t` and `y`.
        jac: The Jacobian of that by `y`: an array `(n, n)`, a CSR array, or the
            diagonals of a banded one.
    """

    fun: Callable[..., Any]
    jac: Callable[..., Any]


def ode(
    fn: Callable[..., Tensor],
    y0: Any,
    *,
    sparse: Sparse = None,
    bands: tuple[int, int] | None = None,
    **options: Unpack[JacobianOptions],
) -> Ode:
    """Make the callbacks of `scipy.integrate.solve_ivp` with an implicit method.

    Both take what SciPy passes: `t`, `y`, and its `args`, of which NumPy arrays become
    tensors.

    Args:
        fn: Maps a 0-D tensor `t` and a 1-D tensor `y`, `(n,)`, to the derivative of `y`
            by time, `(n,)`; all float64.
        y0: The initial state, which says how many entries `y` has.
        sparse: `None` for Jacobians that are arrays, `"csr"` for CSR arrays, which
            `"Radau"` and `"BDF"` take and factorize as such.
        bands: For `"LSODA"` with `lband` and `uband`: those two. J is computed by
            colours, and its diagonals are returned, `(lband + uband + 1, n)`.
        options: Of `jacengine.plan`, which is called at the first `jac(t, y)`: `calls`,
            `compiled`, `effort`, `exclude`, `memory_budget`, `sparsity`, `strategies`,
            `verify`.

    Returns:
        `fun` and `jac`; after the first call `jac.plan` is the plan, and
        `jac.plan.explain()` says how it computes, and why.

    Raises:
        ArgumentError: An option does not fit, or `y0` is no vector.
        InputTypeError: `y0` has entries that are no real numbers.

    Examples:
        >>> import torch
        >>> from scipy.integrate import solve_ivp
        >>> from jacengine.integrations import scipy as jscipy
        >>> fun, jac = jscipy.ode(lambda t, y: -1000 * (y - torch.cos(t)), [0.0])
        >>> found = solve_ivp(fun, (0, 1), [0.0], method="BDF", jac=jac)
        >>> print(f"{found.y[0, -1]:.2f}")
        0.54
    """
    check_sparse(sparse, (None, "csr"))
    check_options(options, JacobianOptions)
    length = len(as_vector(y0, "y0"))
    if bands is not None:
        if sparse is not None or min(bands) < 0 or len(bands) != 2:
            raise ArgumentError(
                f"bands={bands!r} with sparse={sparse!r}: expected (lband, uband), the "
                "numbers of diagonals below and above, and no other sparse matrix."
            )
        sparse = "csr"
    side = functools.partial(outputs.right_hand_side, fn)
    return Ode(_Value(side, length), _Jacobian(side, length, sparse, bands, options))


class _Value:
    """The right-hand side at SciPy's arrays."""

    def __init__(self, fn: Callable[..., Tensor], length: int) -> None:
        self._fn, self._length = fn, length

    def __call__(self, t: Any, y: Any, *args: Any) -> Array:
        """Return the derivative by time, in memory of its own."""
        args, _ = as_arguments(args, {})
        return evaluate(self._fn, *_state(t, y, self._length), *args)


class _Jacobian:
    """The Jacobian of the right-hand side by `y`."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        length: int,
        sparse: Sparse,
        bands: tuple[int, int] | None,
        options: JacobianOptions,
    ) -> None:
        layout = {} if sparse is None else {"layout": sparse}
        self._planned = Planned(fn, {**options, **layout, "wrt": 1})
        self._length = length
        self._convert: Callable[[Tensor], Any] = as_array if sparse is None else as_csr
        if bands is not None:
            self._convert = functools.partial(_diagonals, bands)

    @property
    def plan(self) -> Plan | None:
        """The plan in use; `None` before the first call."""
        return self._planned.plan

    def __call__(self, t: Any, y: Any, *args: Any) -> Any:
        """Compute the Jacobian, in memory that later calls do not change."""
        args, _ = as_arguments(args, {})
        return self._convert(self._planned(*_state(t, y, self._length), *args))


def _state(t: Any, y: Any, length: int) -> tuple[Tensor, Tensor]:
    if np.ndim(y) > 1:
        raise ArgumentError(
            f"y has shape {np.shape(y)}; expected one state, ({length},). Leave "
            "vectorized=True out: with jac= it saves nothing."
        )
    return as_tensor(t, "t", 0), as_vector(y, "y", length)


def _diagonals(bands: tuple[int, int], matrix: Tensor) -> Array:
    """Return the diagonals of a CSR tensor, as LSODA takes them.

    Raises:
        ArgumentError: It has entries outside of the bands.
    """
    lower, upper = bands
    J = as_csr(matrix).tocoo()
    rows, columns = J.coords
    below = int((rows - columns).max(initial=0))
    above = int((columns - rows).max(initial=0))
    if below > lower or above > upper:
        raise ArgumentError(
            f"bands={bands}: the Jacobian has {below} diagonals below the main one and "
            f"{above} above it. Pass bands={(below, above)}, and lband and uband alike."
        )
    packed = np.zeros((lower + upper + 1, J.shape[1]))
    packed[upper + rows - columns, columns] = J.data
    return packed
