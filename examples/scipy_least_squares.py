# ruff: noqa: T201
"""Fit models in PyTorch with SciPy's least squares and exact Jacobians.

First a spectrum of two peaks on a decaying background, with a dense Jacobian, beside
SciPy's finite differences. Then a smooth curve with steps, one unknown a point, with a
sparse Jacobian.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from jacengine.integrations import scipy as jscipy

TRUTH = np.array([98.0, 0.01, 100.0, 67.0, 23.0, 72.0, 178.0, 18.0])
START = np.array([90.0, 0.008, 80.0, 60.0, 20.0, 60.0, 190.0, 25.0])
NOISE = 2.5


def spectrum(x: Tensor, t: Tensor) -> Tensor:
    """Return a decaying background and two Gaussian peaks."""
    background = x[0] * torch.exp(-x[1] * t)
    first = x[2] * torch.exp(-(((t - x[3]) / x[4]) ** 2))
    return background + first + x[5] * torch.exp(-(((t - x[6]) / x[7]) ** 2))


def misfit(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """Return by how many standard deviations the spectrum is off."""
    return (spectrum(x, t) - y) / NOISE


def counted(fn: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """Return a function that counts its calls, and the count."""
    calls = [0]

    def call(*args: Any) -> Any:
        calls[0] += 1
        return fn(*args)

    return call, calls


def fit_spectrum() -> None:
    """Fit eight parameters, and say how well they are known."""
    t = np.arange(1.0, 251.0)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        clean = spectrum(torch.from_numpy(TRUTH), torch.from_numpy(t)).numpy()
    y = clean + NOISE * rng.standard_normal(len(t))

    # NumPy arrays in `args` become tensors.
    fun, jac = jscipy.residuals(misfit, START)
    exact_fun, exact_calls = counted(fun)
    found = least_squares(exact_fun, START, jac, method="lm", args=(t, y))
    numeric_fun, numeric_calls = counted(fun)
    numeric = least_squares(numeric_fun, START, method="lm", args=(t, y))

    errors = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    print("spectrum: 250 points, 8 parameters")
    for value, error, true in zip(found.x, errors, TRUTH, strict=True):
        print(f"  {value:9.4f} +- {error:.4f} (true {true:g})")
    print(f"  exact J: {exact_calls[0]} evaluations of f, {found.njev} of J")
    print(f"  finite differences: {numeric_calls[0]} evaluations of f")
    print(f"  largest difference of the fits: {abs(found.x - numeric.x).max():.1e}")


def fit_curve(n: int = 1000) -> None:
    """Fit a curve that is smooth but for a few steps, one unknown a point."""
    rng = np.random.default_rng(1)
    position = np.linspace(0, 1, n)
    clean = np.sin(6 * position) + (position > 0.3) - 2 * (position > 0.7)
    noisy = clean + 0.2 * rng.standard_normal(n)

    def curve(x: Tensor, y: Tensor) -> Tensor:
        # Large differences of neighbours cost little more than moderate ones.
        steps = (x[1:] - x[:-1]) / 0.02
        return torch.cat([(x - y) / 0.2, steps / (1 + steps.square()) ** 0.25])

    fun, jac = jscipy.residuals(curve, noisy, sparse="csr")
    found = least_squares(fun, noisy, jac, method="trf", args=(noisy,))
    J, colors = found.jac, jac.plan.problem.pattern.colors
    print(f"curve: J is {J.shape[0]} x {J.shape[1]}, ", end="")
    print(f"{J.nnz} nonzeros, {colors} directions")
    for name, values in (("noisy", noisy), ("fitted", found.x)):
        error = np.sqrt(np.mean((values - clean) ** 2))
        print(f"  {name}: root mean square error {error:.3f}")


def main() -> None:
    """Fit both."""
    fit_spectrum()
    fit_curve()


if __name__ == "__main__":
    main()
