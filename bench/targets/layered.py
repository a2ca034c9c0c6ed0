"""Modules whose layers are not simply one after another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import jacengine


class Tied(nn.Module):
    """An autoencoder that decodes with its encoder's weight, transposed."""

    def __init__(self) -> None:
        """Encode 32 numbers as 16."""
        super().__init__()
        self.encoder = nn.Linear(32, 16)
        self.bias = nn.Parameter(torch.zeros(32))

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return F.linear(self.encoder(x).tanh(), self.encoder.weight.T, self.bias)


class Twice(nn.Module):
    """A layer that is called twice, and another after it."""

    def __init__(self) -> None:
        """Take 32 features to 10 outputs."""
        super().__init__()
        self.hidden = nn.Linear(32, 32)
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Call the same layer on its own output."""
        out: Tensor = self.last(self.hidden(self.hidden(x).tanh()).tanh())
        return out


class Scaled(nn.Module):
    """A layer as users write them: every feature times a number that is learnt."""

    def __init__(self, features: int) -> None:
        """Start from ones."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scale the features."""
        return x * self.scale


class ScaledByRule(Scaled):
    """The same layer, that jacengine has been taught."""


def _scale(_: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    block = (g * x.unsqueeze(1)).sum(2)
    return block if out is None else out.copy_(block)


jacengine.register_rule(
    ScaledByRule, jacengine.Rule({"scale": _scale}, input_axes=1, output_axes=1)
)


def scaled_network(layer: type[Scaled]) -> nn.Module:
    """Return a network of 32 features and 10 outputs with such a layer in it."""
    return nn.Sequential(
        nn.Linear(32, 64), nn.Tanh(), layer(64), nn.Tanh(), nn.Linear(64, 10)
    )


class Recurrent(nn.Module):
    """The last state of an LSTM, and a linear layer on it."""

    def __init__(self) -> None:
        """Read 6 numbers a step."""
        super().__init__()
        self.lstm = nn.LSTM(6, 24, batch_first=True)
        self.last = nn.Linear(24, 4)

    def forward(self, sequence: Tensor) -> Tensor:
        """Read a sequence."""
        states: Tensor = self.lstm(sequence)[0]
        out: Tensor = self.last(states[..., -1, :])
        return out
