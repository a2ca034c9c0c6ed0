"""Functions whose Jacobian somebody needs once: small, long, wide, by parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec

STEPS = 200
"""Steps of what iterates."""


def perceptron(*widths: int) -> nn.Sequential:
    """Make a perceptron with tanh between its layers, always the same one."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _at_one_point(fn: Callable[[Tensor], Tensor], x: Tensor) -> DerivativeSpec:
    return DerivativeSpec(fn, (x,), batch_dim=None)


def _mlp() -> DerivativeSpec:
    return _at_one_point(perceptron(64, 128, 128, 32), torch.randn(64))


def _autoencoder() -> DerivativeSpec:
    return _at_one_point(perceptron(784, 128, 16, 128, 784), torch.randn(784))


def _runge_kutta() -> DerivativeSpec:
    field, step = perceptron(8, 32, 8).double(), 0.01

    def flow(x: Tensor) -> Tensor:
        for _ in range(STEPS):
            a = field(x)
            b = field(x + step / 2 * a)
            c = field(x + step / 2 * b)
            d = field(x + step * c)
            x = x + step / 6 * (a + 2 * b + 2 * c + d)
        return x

    return _at_one_point(flow, torch.randn(8, dtype=torch.float64))


def _fixed_point() -> DerivativeSpec:
    torch.manual_seed(0)
    weight = torch.randn(16, 16) * 0.1

    def equilibrium(x: Tensor) -> Tensor:
        z = torch.zeros(16)
        for _ in range(STEPS):
            z = torch.tanh(weight @ z + x)
        return z

    return _at_one_point(equilibrium, torch.randn(16))


def _convnet() -> DerivativeSpec:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )
    return _at_one_point(net, torch.randn(1, 3, 32, 32))


def _parameters() -> DerivativeSpec:
    model = perceptron(32, 64, 64, 10)
    return DerivativeSpec(model, (torch.randn(64, 32),), wrt="params", batch_dim=None)


def _wide() -> DerivativeSpec:
    return _at_one_point(perceptron(512, 768, 512, 512), torch.randn(512))


ONE_OFF: dict[str, Callable[[], DerivativeSpec]] = {
    "MLP 64-128-128-32": _mlp,
    "autoencoder 784-128-16-128-784": _autoencoder,
    f"Runge-Kutta, {STEPS} steps": _runge_kutta,
    f"fixed point, {STEPS} steps": _fixed_point,
    "convolutional network": _convnet,
    "parameters of 32-64-64-10, batch 64": _parameters,
    "512-768-512-512": _wide,
}
"""Each by its name in tables."""
