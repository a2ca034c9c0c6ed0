"""Models that people take Jacobians of, each small enough for a minute's demo.

Weights and inputs are random, from a fixed seed: what a method costs depends on the
sizes, hardly on the values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Question:
    """One Jacobian: `jacengine.auto(fn, *args, wrt=wrt, batch_dim=batch_dim)`.

    Attributes:
        fn: The function or module.
        args: Its positional arguments.
        wrt: What to differentiate.
        batch_dim: The sample axis, if samples are independent.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    wrt: int | str = 0
    batch_dim: int | None = 0


@dataclass(frozen=True)
class Model:
    """A named question.

    Attributes:
        name: Unique.
        use: Who takes this Jacobian, and what for, in one sentence.
        build: Makes the question anew, with equal values each time.
    """

    name: str
    use: str
    build: Callable[[], Question]


def _seeded(build: Callable[[], Question]) -> Callable[[], Question]:
    """Fix what a builder draws, and leave the caller's random state alone."""

    def built() -> Question:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build()

    return built


def _mlp(*sizes: int) -> nn.Sequential:
    """Stack linear layers with tanh between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _classifier() -> Question:
    return Question(_mlp(64, 128, 128, 10), (torch.randn(128, 64),))


def _decoder() -> Question:
    return Question(_mlp(8, 64, 64, 256), (torch.randn(256, 8),))


def _autoencoder() -> Question:
    return Question(_mlp(784, 128, 16, 128, 784), (torch.rand(8, 784),))


def _image_classifier() -> Question:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )
    return Question(net, (torch.rand(16, 1, 28, 28),))


def _curve_fit() -> Question:
    return Question(_mlp(4, 32, 32, 3), (torch.randn(1000, 4),), wrt="params")


class _Wavefunction(nn.Module):
    """The log-amplitude of spins on a ring: periodic convolutions, summed up."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 5, padding=2, padding_mode="circular"),
            nn.Tanh(),
            nn.Conv1d(8, 8, 5, padding=2, padding_mode="circular"),
            nn.Tanh(),
            nn.Conv1d(8, 1, 5, padding=2, padding_mode="circular"),
        )

    def forward(self, spins: Tensor) -> Tensor:
        amplitudes: Tensor = self.layers(spins.unsqueeze(-2))
        return amplitudes.sum((-2, -1))


def _wavefunction() -> Question:
    spins = torch.randint(0, 2, (128, 24)) * 2.0 - 1
    return Question(_Wavefunction(), (spins,), wrt="params")


def _transformer() -> Question:
    layer = nn.TransformerEncoderLayer(
        32, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
    )
    return Question(layer, (torch.randn(8, 8, 32),))


class _LastState(nn.Module):
    """What an LSTM remembers at the end of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 24, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        states: Tensor = self.lstm(sequence)[0]
        return states[..., -1, :]


def _memory() -> Question:
    return Question(_LastState(), (torch.randn(32, 16, 6),))


_LENGTHS = (0.36, 0.0, 0.42, 0.0, 0.4, 0.0, 0.126)
_TWISTS = (-pi / 2, pi / 2, pi / 2, -pi / 2, -pi / 2, pi / 2, 0.0)


def _hand(angles: Tensor) -> Tensor:
    """Return the hand's position and orientation, `(4, 3)`, of a seven-joint arm.

    Each link has its length along the joint's axis and the twist to the next axis
    (J. Denavit, R. S. Hartenberg, 1955).
    """
    frame = torch.eye(4, dtype=angles.dtype)
    nought, one = torch.zeros_like(angles[0]), torch.ones_like(angles[0])
    for angle, length, twist in zip(angles, _LENGTHS, _TWISTS, strict=True):
        turn = torch.tensor(twist, dtype=angles.dtype)
        c, s, ct, st = angle.cos(), angle.sin(), turn.cos(), turn.sin()
        rows = (
            torch.stack([c, -s * ct, s * st, nought]),
            torch.stack([s, c * ct, -c * st, nought]),
            torch.stack([nought, st * one, ct * one, length * one]),
            torch.stack([nought, nought, nought, one]),
        )
        frame = frame @ torch.stack(rows)
    return frame[:3].T


def _robot_arm() -> Question:
    return Question(_hand, (torch.randn(7, dtype=torch.float64),), batch_dim=None)


MODELS: tuple[Model, ...] = (
    Model(
        "mlp_classifier",
        "The class scores of a multilayer perceptron by its inputs, as Jacobian "
        "regularisation penalises them to make a network robust.",
        _seeded(_classifier),
    ),
    Model(
        "mlp_decoder",
        "A decoder from 8 latent variables to 256 outputs: its Jacobian gives the "
        "metric of the latent space.",
        _seeded(_decoder),
    ),
    Model(
        "autoencoder",
        "Reconstruction by pixels through a bottleneck of 16, as contractive "
        "autoencoders penalise it.",
        _seeded(_autoencoder),
    ),
    Model(
        "image_classifier",
        "The class scores of a small convolutional network by its pixels: saliency "
        "maps and adversarial examples.",
        _seeded(_image_classifier),
    ),
    Model(
        "levenberg_marquardt",
        "The residuals of 1000 observations by the weights of the network that fits "
        "them: the matrix of a Levenberg-Marquardt step.",
        _seeded(_curve_fit),
    ),
    Model(
        "monte_carlo",
        "The log-amplitude of 128 spin configurations by a convolutional network's "
        "weights, for stochastic reconfiguration in variational Monte Carlo.",
        _seeded(_wavefunction),
    ),
    Model(
        "transformer_layer",
        "A transformer layer's outputs by its inputs: how a signal, or its gradient, "
        "spreads through depth.",
        _seeded(_transformer),
    ),
    Model(
        "lstm_memory",
        "The last state of an LSTM by every input of the sequence: what it still "
        "remembers, and whether gradients vanish.",
        _seeded(_memory),
    ),
    Model(
        "robot_arm",
        "Position and orientation of a seven-joint arm's hand by its joint angles, one "
        "pose at a time: control loops wait for it.",
        _seeded(_robot_arm),
    ),
)
"""The models of the demo, in the order in which it runs them."""
