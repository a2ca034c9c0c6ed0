# ruff: noqa: T201
"""Laplace approximation over all weights: how sure is a classifier of digits?"""

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import jacengine

try:
    from sklearn.datasets import load_digits
except ImportError:
    print("This example needs scikit-learn: pip install scikit-learn", file=sys.stderr)
    sys.exit(2)

PRIOR = 1.0  # precision of the weights, before any data


def data() -> tuple[Tensor, Tensor]:
    """Return images of digits as rows of 64 grey values, and the digits, shuffled."""
    X, y = load_digits(return_X_y=True)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(X)[order].float() / 16, torch.from_numpy(y)[order]


def trained(X: Tensor, y: Tensor) -> nn.Module:
    """Return the network at the mode of its posterior, nearly."""
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        squares = sum(p.square().sum() for p in model.parameters())
        (cross_entropy(model(X), y, reduction="sum") + PRIOR / 2 * squares).backward()
        optimizer.step()
    return model


def precision(model: nn.Module, X: Tensor) -> Tensor:
    """Return PRIOR I + sum over samples of J^T H J, the Gauss-Newton matrix.

    H is the Hessian of the loss by the logits, diag(p) - p p^T. J of all samples would
    take far more memory than the result, so it comes in pieces and is added up.
    """
    size = sum(p.numel() for p in model.parameters())
    total = PRIOR * torch.eye(size)
    options = {"wrt": "params", "batch_dim": 0, "layout": "flat"}
    for piece in jacengine.blocks(model, X, **options, memory_budget="128MiB"):
        with torch.no_grad():
            p = model(X[piece.samples]).softmax(-1)
        # diag(p) - p p^T = R R^T with R = diag(sqrt(p)) - p sqrt(p)^T
        root = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)
        rows = (root.mT @ piece.jacobian).flatten(0, 1)
        total.addmm_(rows.T, rows)
    return total


def variances(model: nn.Module, X: Tensor, factor: Tensor) -> Tensor:
    """Return the variances of the logits, diag(J inv(L L^T) J^T), for each sample."""
    J = jacengine.auto(model, X, wrt="params", batch_dim=0, layout="flat")
    half = torch.linalg.solve_triangular(factor, J.flatten(0, 1).T, upper=False)
    return half.square().sum(0).view(len(X), -1)


def auroc(score: Tensor, positive: Tensor) -> float:
    """Return how often a positive sample scores higher than a negative one."""
    pairs = score[positive].unsqueeze(1) - score[~positive]
    return float((pairs > 0).float().mean() + (pairs == 0).float().mean() / 2)


def main() -> None:
    """Train, approximate, and see whether errors are where variances are large."""
    torch.manual_seed(0)
    X, y = data()
    model = trained(X[:1000], y[:1000])
    factor = torch.linalg.cholesky(precision(model, X[:1000]))
    X, y = X[1000:], y[1000:]
    spread = variances(model, X, factor)
    with torch.no_grad():
        predicted = model(X).argmax(1)
    wrong = predicted != y
    found = spread.gather(1, predicted.unsqueeze(1)).squeeze(1)
    print(f"weights: {len(factor)}, all of them uncertain")
    print(f"test accuracy: {1 - wrong.float().mean():.3f}")
    right, failed = found[~wrong].mean(), found[wrong].mean()
    print(f"variance of the predicted logit: {right:.2f} if right, {failed:.2f} if not")
    print(f"AUROC of the variance for errors: {auroc(found, wrong):.3f}")


if __name__ == "__main__":
    main()
