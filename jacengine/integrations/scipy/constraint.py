"""`constraint`: a `NonlinearConstraint` with exact derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Unpack

import torch
from scipy.optimize import BFGS, NonlinearConstraint
from torch import Tensor

from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.arrays import as_array, as_csr, as_vector
from jacengine.integrations.scipy.matrices import Matrix, Sparse, check_sparse
from jacengine.integrations.scipy.options import PlanOptions, check_options
from jacengine.integrations.scipy.planned import Planned
from jacengine.integrations.scipy.value import Value
from jacengine.plans.plan import Plan


def constraint(
    fn: Callable[[Tensor], Tensor],
    x0: Any,
    lb: Any,
    ub: Any,
    *,
    keep_feasible: Any = False,
    hess: bool = True,
    sparse: Sparse = None,
    **options: Unpack[PlanOptions],
) -> NonlinearConstraint:
    """Make a `scipy.optimize.NonlinearConstraint`, `lb <= fn(x) <= ub`.

    Args:
        fn: Maps a 1-D float64 tensor `(n,)` to a float64 tensor `(m,)`.
        x0: The starting point, which says how many entries `x` has.
        lb: Lower bounds, as SciPy takes them.
        ub: Upper bounds.
        keep_feasible: Whether all iterates have to satisfy them.
        hess: Whether to give exact Hessians. `False` leaves SciPy's own estimate, for
            methods that use none, such as `"SLSQP"`, which warns otherwise.
        sparse: `None` for Jacobians and Hessians that are arrays, `"csr"` for CSR
            arrays. Of the methods of `minimize`, `"trust-constr"` takes those.
        options: Of `jacengine.plan`, which is called at the first use of a derivative:
            `calls`, `compiled`, `effort`, `memory_budget`, `verify`.

    Returns:
        The constraint, with `jac(x)`, `(m, n)`, and `hess(x, v)`, `(n, n)`, the Hessian
        of the sum of `v * fn(x)`.

    Raises:
        ArgumentError: An option does not fit, or `x0` is no vector.
        InputTypeError: `x0` has entries that are no real numbers.

    Examples:
        >>> from scipy.optimize import minimize
        >>> from jacengine.integrations import scipy as jscipy
        >>> f = jscipy.objective(lambda x: x.sum(), [1, 0])
        >>> disk = jscipy.constraint(lambda x: x @ x, [1, 0], 0, 2, hess=False)
        >>> minimize(f.fun, [1, 0], jac=f.jac, constraints=disk).x.round(3)
        array([-1., -1.])
    """
    check_sparse(sparse, (None, "csr"))
    check_options(options, PlanOptions)
    length, vector = len(as_vector(x0, "x0")), functools.partial(outputs.vector, fn)
    # The stubs of SciPy know no `v`.
    hessian: Any = _WeightedHessian(fn, length, sparse, options) if hess else BFGS()
    return NonlinearConstraint(
        Value(vector, length),
        lb,
        ub,
        jac=Matrix(vector, length, sparse, options),
        hess=hessian,
        keep_feasible=keep_feasible,
    )


class _WeightedHessian:
    """The Hessian of a function's outputs times `v`, summed."""

    def __init__(
        self,
        fn: Callable[..., Tensor],
        length: int,
        sparse: Sparse,
        options: PlanOptions,
    ) -> None:
        layout = {} if sparse is None else {"layout": sparse}
        combination = functools.partial(outputs.combination, fn)
        planned = {**options, **layout, "quantity": "hessian"}
        self._planned = Planned(combination, planned, _generic)
        self._convert = as_array if sparse is None else as_csr
        self._length = length

    @property
    def plan(self) -> Plan | None:
        """The plan in use; `None` before the first call."""
        return self._planned.plan

    def __call__(self, x: Any, v: Any) -> Any:
        """Compute the Hessian, in memory that later calls do not change."""
        vector = as_vector(x, "x", self._length)
        return self._convert(self._planned(vector, as_vector(v, "v")))


def _generic(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights to plan with: SciPy's first ones are 0, where all is right."""
    steps = torch.arange(len(v), dtype=torch.float64, device="cpu")
    return x, 1 + torch.sin(steps) / 2
