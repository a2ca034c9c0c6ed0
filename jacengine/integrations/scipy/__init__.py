"""Callbacks with exact derivatives for SciPy's solvers, from functions in PyTorch.

>>> import torch
>>> from scipy.optimize import least_squares
>>> from jacengine.integrations import scipy as jscipy
>>> fun, jac = jscipy.residuals(lambda x: torch.stack([x[0] - 1, x[0] * x[1]]), [3, 2])
>>> least_squares(fun, [3, 2], jac).x.round(6) + 0.0
array([1., 0.])
"""

from jacengine.integrations.scipy.bvp import BoundaryValueProblem, bvp
from jacengine.integrations.scipy.constraint import constraint
from jacengine.integrations.scipy.objective import Objective, objective
from jacengine.integrations.scipy.ode import Ode, ode
from jacengine.integrations.scipy.residuals import Residuals, residuals

__all__ = [
    "BoundaryValueProblem",
    "Objective",
    "Ode",
    "Residuals",
    "bvp",
    "constraint",
    "objective",
    "ode",
    "residuals",
]
