"""Networks on sequences, by their inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec, Workload, seeded


def transformer_layer() -> nn.Module:
    """Make an encoder layer of width 32 with 4 heads."""
    return nn.TransformerEncoderLayer(
        32, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
    )


class LastState(nn.Module):
    """The last hidden state of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 24, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """Read a sequence."""
        states: Tensor = self.lstm(sequence)[0]
        return states[..., -1, :]


SEQUENCES: tuple[Workload, ...] = (
    Workload(
        name="transformer_layer",
        origin="torch.nn.TransformerEncoderLayer, width 32, 4 heads, 8 sequences; "
        "L. Noci et al., Signal propagation in transformers, 2022, "
        "https://arxiv.org/abs/2206.03126",
        use="How a signal, or its gradient, spreads through depth: a layer's outputs "
        "by its inputs.",
        parameter="tokens",
        sizes=(4, 8, 24),
        tiny=1,
        build=seeded(
            lambda n: DerivativeSpec(transformer_layer(), (torch.randn(8, n, 32),))
        ),
    ),
    Workload(
        name="lstm_memory",
        origin="torch.nn.LSTM with 24 units on 32 sequences; R. Pascanu, T. Mikolov, "
        "Y. Bengio, 2013, https://arxiv.org/abs/1211.5063",
        use="What the last state still remembers of every input, and whether gradients "
        "vanish on the way.",
        parameter="steps",
        sizes=(8, 24, 96),
        tiny=2,
        build=seeded(
            lambda steps: DerivativeSpec(LastState(), (torch.randn(32, steps, 6),))
        ),
    ),
)
