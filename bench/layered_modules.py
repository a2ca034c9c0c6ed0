"""Modules whose layers are more than a sequence: tied, repeated and user-defined."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import jacengine


class TiedAutoencoder(nn.Module):
    """An autoencoder 32-16-32 that decodes with the transposed encoder weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(32, 16)
        self.bias = nn.Parameter(torch.zeros(32))

    def forward(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return F.linear(self.encoder(x).tanh(), self.encoder.weight.T, self.bias)


class RepeatedLayer(nn.Module):
    """A layer of 32 features that is called twice, and another with 10 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(32, 32)
        self.last = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Call the same layer on its own output."""
        out: Tensor = self.last(self.hidden(self.hidden(x).tanh()).tanh())
        return out


class Scale(nn.Module):
    """A user-defined layer: every feature times a parameter."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Scale the features."""
        return x * self.scale


class ScaleWithRule(Scale):
    """The same layer with a rule that is registered with jacengine."""


def _scale(_: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    block = (g * x.unsqueeze(1)).sum(2)
    return block if out is None else out.copy_(block)


jacengine.register_rule(
    ScaleWithRule, jacengine.Rule({"scale": _scale}, input_axes=1, output_axes=1)
)


def scaled_network(layer: type[Scale]) -> nn.Module:
    """Return a network of 32 features and 10 outputs with such a layer."""
    return nn.Sequential(
        nn.Linear(32, 64), nn.Tanh(), layer(64), nn.Tanh(), nn.Linear(64, 10)
    )
