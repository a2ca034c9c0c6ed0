# ruff: noqa: T201
"""Regression with the tangent kernel: a network that is never trained, but solved."""

import sys

import torch
from torch import Tensor, nn

import jacengine

try:
    from sklearn.datasets import load_digits
except ImportError:
    print("This example needs scikit-learn: pip install scikit-learn", file=sys.stderr)
    sys.exit(2)

RIDGE = 1e-2


def data() -> tuple[Tensor, Tensor]:
    """Return images of threes and eights, shuffled, and -1 for three, 1 for eight."""
    X, y = map(torch.from_numpy, load_digits(return_X_y=True))
    X, y = X[(y == 3) | (y == 8)], y[(y == 3) | (y == 8)]
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    images = X[order].view(-1, 1, 8, 8).float() / 16
    return images, torch.where(y[order] == 8, 1.0, -1.0).unsqueeze(1)


def network() -> nn.Module:
    """Return a small convolutional network of one output, untrained."""
    torch.manual_seed(0)
    features = (nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU())
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(256, 1))


def solved(model: nn.Module, X: Tensor, y: Tensor, X_test: Tensor) -> Tensor:
    """Return what the linearised network predicts after fitting it to the data.

    f(x) = f0(x) + J(x) J^T alpha with alpha = inv(J J^T + RIDGE I) (y - f0): ridge
    regression on the gradients. Neither J nor the kernel between test and training
    samples is formed, only J J^T.
    """
    with torch.no_grad():
        residual, start = y - model(X), model(X_test)
    op = jacengine.operator(model, X, wrt="params", batch_dim=0)
    op_test = jacengine.operator(model, X_test, wrt="params", batch_dim=0)
    kernel = op.gram()
    alpha = torch.linalg.solve(kernel + RIDGE * torch.eye(len(kernel)), residual)
    return start + op_test @ (op.T @ alpha)


def trained(model: nn.Module, X: Tensor, y: Tensor, X_test: Tensor) -> Tensor:
    """Return what the network predicts after ordinary training on the same loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        (model(X) - y).square().mean().backward()
        optimizer.step()
    return model(X_test).detach()


def main() -> None:
    """Predict a test set in both ways, from training sets of several sizes."""
    X, y = data()
    X_test, y_test = X[200:], y[200:]
    print(f"test accuracy on {len(X_test)} images, by training images:")
    for count in (20, 60, 200):
        taught = (X[:count], y[:count], X_test)
        by_kernel, by_training = solved(network(), *taught), trained(network(), *taught)
        found = [(f.sign() == y_test).float().mean() for f in (by_kernel, by_training)]
        print(f"{count}: tangent kernel {found[0]:.3f}, trained network {found[1]:.3f}")


if __name__ == "__main__":
    main()
