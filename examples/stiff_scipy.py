# ruff: noqa: T201
"""Integrate stiff equations with SciPy's BDF and exact Jacobians from PyTorch.

Robertson's reaction, a system of three; and the Brusselator, which reacts and diffuses
on a line, with a sparse Jacobian. Beside each, the evaluations of the right-hand side
that SciPy's finite differences take.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from jacengine.integrations import scipy as jscipy

CELLS = 100


def robertson(t: Tensor, y: Tensor) -> Tensor:
    """Return the rates of three species, eleven orders of magnitude apart."""
    a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return torch.stack([b - a, a - b - c, c])


def brusselator(t: Tensor, y: Tensor) -> Tensor:
    """Return reaction and diffusion of two species, cell by cell."""
    inside = y.view(-1, 2)
    edge = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    cells = torch.cat([edge, inside, edge])
    rate = (len(inside) + 1) ** 2 / 50
    diffusion = rate * (cells[2:] - 2 * inside + cells[:-2])
    u, v = inside.unbind(1)
    reaction = torch.stack([1 + u * u * v - 4 * u, 3 * u - u * u * v], dim=1)
    return (reaction + diffusion).flatten()


def counted(fn: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """Return a function that counts its calls, and the count."""
    calls = [0]

    def call(*args: Any) -> Any:
        calls[0] += 1
        return fn(*args)

    return call, calls


def compare(
    name: str, fun: Callable[..., Any], jac: Any, y0: np.ndarray, end: float
) -> None:
    """Integrate with the exact Jacobian, and with finite differences."""
    options: Any = {"method": "BDF", "rtol": 1e-6, "atol": 1e-10}
    exact_fun, exact_calls = counted(fun)
    found = solve_ivp(exact_fun, (0, end), y0, jac=jac, **options)
    numeric_fun, numeric_calls = counted(fun)
    numeric = solve_ivp(numeric_fun, (0, end), y0, **options)
    J = jac(end, found.y[:, -1])
    nonzeros = np.count_nonzero(J) if isinstance(J, np.ndarray) else J.nnz
    print(f"{name}: {len(y0)} equations, {nonzeros} nonzeros of J")
    print(f"  exact J: {exact_calls[0]} evaluations of f, {found.njev} of J")
    print(f"  finite differences: {numeric_calls[0]} evaluations of f")
    difference = abs(found.y[:, -1] - numeric.y[:, -1]).max()
    print(f"  largest difference at the end: {difference:.1e}")


def main() -> None:
    """Integrate both."""
    y0 = np.array([1.0, 0.0, 0.0])
    compare("Robertson", *jscipy.ode(robertson, y0), y0, 1e5)

    position = np.arange(1, CELLS + 1) / (CELLS + 1)
    u, v = 1 + np.sin(2 * np.pi * position), np.full(CELLS, 3.0)
    y0 = np.stack([u, v], axis=1).ravel()
    fun, jac = jscipy.ode(brusselator, y0, sparse="csr")
    compare("Brusselator", fun, jac, y0, 10.0)
    colors = jac.plan.problem.pattern.colors
    print(f"  one J takes {colors} directions, instead of {len(y0)}")


if __name__ == "__main__":
    main()
