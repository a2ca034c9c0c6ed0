# ruff: noqa: T201
"""Fit a small network to the diabetes data by Levenberg-Marquardt."""

import sys

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import jacengine

try:
    from sklearn.datasets import load_diabetes
except ImportError:
    print("This example needs scikit-learn: pip install scikit-learn", file=sys.stderr)
    sys.exit(2)

ITERATIONS = 60
PRIOR = 10.0  # a little weight decay: 331 patients do not fix 161 weights


def lm_step(J: Tensor, r: Tensor, w: Tensor, damping: float) -> tuple[Tensor, float]:
    """Minimise |r + J d|^2 + PRIOR |w + d|^2 + damping |d|^2 over d.

    Returns the step, and by how much the first two terms fall with it.
    """
    hessian = J.T @ J + PRIOR * torch.eye(len(w), dtype=J.dtype)
    gradient = J.T @ r + PRIOR * w
    damped = hessian + damping * torch.eye(len(w), dtype=J.dtype)
    step = -torch.linalg.solve(damped, gradient)
    return step, float(-2 * gradient @ step - step @ hessian @ step)


def data() -> tuple[Tensor, Tensor]:
    """Return features and progression of the disease, shuffled, both standardised."""
    X, y = load_diabetes(return_X_y=True)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    X, y = torch.from_numpy(X)[order], torch.from_numpy(y)[order]
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


def main() -> None:
    """Fit, and compare with a linear fit."""
    torch.manual_seed(0)
    X, y = data()
    train, test = slice(0, 331), slice(331, 442)
    model = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 1)).double()
    weights = list(model.parameters())

    def objective(w: Tensor) -> float:
        vector_to_parameters(w, weights)
        with torch.no_grad():
            residuals = model(X[train]).squeeze(1) - y[train]
        return float(residuals.square().sum() + PRIOR * w.square().sum())

    def error(part: slice) -> float:
        with torch.no_grad():
            return float((model(X[part]).squeeze(1) - y[part]).square().mean())

    # Chosen once; every iteration writes into the same memory.
    plan = jacengine.plan(model, X[train], wrt="params", batch_dim=0, layout="flat")
    w = parameters_to_vector(weights).detach()
    J = torch.empty(331, 1, len(w), dtype=w.dtype)
    damping, now = 1.0, objective(w)
    print(f"start: train error {error(train):.3f}, test error {error(test):.3f}")
    for iteration in range(1, ITERATIONS + 1):
        plan(X[train], out=J)
        with torch.no_grad():
            residuals = model(X[train]).squeeze(1) - y[train]
        step, predicted = lm_step(J.squeeze(1), residuals, w, damping)
        gain = (now - objective(w + step)) / predicted
        # A step that does as it promised: trust the linear model further.
        if gain > 0:
            w, damping = w + step, damping * max(1 / 3, 1 - (2 * gain - 1) ** 3)
        else:
            damping *= 4
        failures = now - objective(w)  # also puts the weights back after a bad step
        now -= failures
        if iteration % 5 == 0:
            print(f"{iteration}: objective {now:.3f}, damping {damping:.2g}")
        if gain > 0 and failures < 1e-6 * now:
            break
    print(f"fitted: train error {error(train):.3f}, test error {error(test):.3f}")
    A = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    linear = torch.linalg.lstsq(A[train], y[train]).solution
    squares = (A @ linear - y).square()
    print(f"linear: train error {squares[train].mean():.3f}, ", end="")
    print(f"test error {squares[test].mean():.3f}")


if __name__ == "__main__":
    main()
