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
from functools import partial
from statistics import median
from typing import Any

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

    from jacengine.integrations.laplace import JacengineGGN
except ImportError as error:
    needed = "pip install scikit-learn laplace-torch"
    print(f"This example needs more ({error}): {needed}", file=sys.stderr)
    sys.exit(2)

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
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


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


def timed(run: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak(run: Callable[[], Any]) -> float:
    """Return the MiB that a call allocates at most."""
    with peak_memory(torch.device("cpu"), in_kernels=True) as found:
        run()
    return found.bytes / 2**20


def measure(step: str, runs: dict[str, Callable[[], Any]]) -> None:
    """Print the time and memory of a step, and how many times those of the first."""
    rounds = [{name: timed(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    found = {
        name: (rounds[0][name], median(r[name] for r in rounds[1:]), peak(run))
        for name, run in runs.items()
    }
    _, ours_s, ours_mib = found[FIRST]
    for name, (first, later, mib) in found.items():
        print(
            f"  {step:8} {name:10}{first:9.3f} {later:9.4f} {later / ours_s:7.1f}x"
            f" {mib:9.1f} {mib / ours_mib:7.1f}x"
        )


def compare(make: Callable[[], nn.Module], structure: str) -> dict[str, Tensor]:
    """Fit and predict with each backend.

    Every fit comes before the first prediction, after which the BackPACK backend of
    laplace-torch 0.3 computes another diagonal.

    Returns:
        The probabilities that each backend predicts.
    """
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
    weights = sum(p.numel() for p in model.parameters())
    print(f"{make.__name__}, {weights} weights, {structure} matrix")
    print("                      first, s   then, s            peak, MiB")
    fits = {name: partial(la.fit, loader) for name, la in posteriors.items()}
    measure("fit", fits)
    measure("predict", {name: partial(la, new) for name, la in posteriors.items()})
    predicted = {name: la(new) for name, la in posteriors.items()}
    away = max((p - predicted[FIRST]).abs().max() for p in predicted.values())
    print(f"  predictions differ by {away:.1e} at most\n")
    return predicted


def main() -> None:
    """Compare the backends on two networks and two structures."""
    for message in ("ASDL backend is used", "Full backward hook", "Using a non-full"):
        warnings.filterwarnings("ignore", message=message)
    for make in (mlp, convnet):
        for structure in ("diag", "full"):
            compare(make, structure)


if __name__ == "__main__":
    main()
