# ruff: noqa: T201
"""Laplace approximations by laplace-torch: our backend beside its own.

Each backend fits the posterior of the weights of a classifier of digits and predicts.
Rounds are interleaved; the first one, in which jacengine chooses its methods, is shown
apart from the median of the others. Memory is what torch allocates at most.
"""

import copy
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from jacengine.peak_memory import peak_memory

warnings.filterwarnings("ignore", message=".torch.jit.script")  # of BackPACK's imports
try:
    from laplace import Laplace
    from laplace.curvature import AsdlGGN, BackPackGGN, CurvlinopsGGN
    from sklearn.datasets import load_digits
except ImportError as error:
    needed = "pip install scikit-learn laplace-torch"
    print(f"This example needs more ({error}): {needed}", file=sys.stderr)
    sys.exit(2)

from jacengine.integrations.laplace import JacengineGGN

BACKENDS = {
    "jacengine": JacengineGGN,
    "default": CurvlinopsGGN,
    "BackPACK": BackPackGGN,
    "ASDL": AsdlGGN,
}
FIRST, ROUNDS = "jacengine", 4


def data() -> tuple[Tensor, Tensor]:
    """Return images of digits, `(B, 1, 8, 8)`, and the digits, shuffled."""
    X, y = load_digits(return_X_y=True)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(X)[order].float() / 16
    return images.view(-1, 1, 8, 8), torch.from_numpy(y)[order]


def mlp() -> nn.Module:
    """Return a network of 1,210 weights."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)
    )


def convnet() -> nn.Module:
    """Return a network of 666 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def trained(model: nn.Module, X: Tensor, y: Tensor) -> nn.Module:
    """Return the model after some steps of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        cross_entropy(model(X), y).backward()
        optimizer.step()
    return model.eval()


def once(la: Laplace, loader: DataLoader, new: Tensor) -> tuple[float, float, Tensor]:
    """Fit and predict.

    Returns:
        The seconds of either, and the predicted probabilities.
    """
    started = time.perf_counter()
    la.fit(loader)
    fitted = time.perf_counter()
    predicted = la(new)
    return fitted - started, time.perf_counter() - fitted, predicted


def compare(make: Callable[[], nn.Module], structure: str) -> None:
    """Print what each backend takes, and how far its predictions are from the first."""
    torch.manual_seed(0)
    X, y = data()
    model = trained(make(), X[:1000], y[:1000])
    loader = DataLoader(TensorDataset(X[:256], y[:256]), batch_size=64)
    new = X[1000:1064]
    posteriors = {
        name: Laplace(
            copy.deepcopy(model),
            "classification",
            subset_of_weights="all",
            hessian_structure=structure,
            backend=backend,
        )
        for name, backend in BACKENDS.items()
    }
    rounds = [
        {name: once(la, loader, new) for name, la in posteriors.items()}
        for _ in range(ROUNDS)
    ]
    peaks = {}
    for name, la in posteriors.items():
        with peak_memory(torch.device("cpu"), in_kernels=True) as peak:
            once(la, loader, new)
        peaks[name] = peak.bytes / 2**20
    count = sum(p.numel() for p in model.parameters())
    print(f"{make.__name__} of {count} weights, {structure}")
    print("  backend     fit, s        predict, s   first, s   peak, MiB    difference")
    ours = rounds[-1][FIRST][2]
    fits, predictions = (
        {name: median(r[name][part] for r in rounds[1:]) for name in BACKENDS}
        for part in (0, 1)
    )
    for name in BACKENDS:
        first = sum(rounds[0][name][:2])
        away = (rounds[-1][name][2] - ours).abs().max()
        print(
            f"  {name:9} {fits[name]:7.4f} {fits[name] / fits[FIRST]:5.1f}x "
            f"{predictions[name]:8.4f} {predictions[name] / predictions[FIRST]:5.1f}x "
            f"{first:8.3f} {peaks[name]:8.1f} {peaks[name] / peaks[FIRST]:5.1f}x "
            f"{away:9.1e}"
        )


def main() -> None:
    """Compare the backends on two networks and two structures."""
    warnings.filterwarnings("ignore", message="ASDL backend is used")
    for make in (mlp, convnet):
        for structure in ("diag", "full"):
            compare(make, structure)


if __name__ == "__main__":
    main()
