"""Networks on sequences, by their inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jacengine.bench.workload import Question, Workload, seeded


def _transformer(tokens: int) -> Question:
    layer = nn.TransformerEncoderLayer(
        32, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
    )
    return Question(layer, (torch.randn(8, tokens, 32),))


class _LastState(nn.Module):
    """What an LSTM remembers at the end of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 24, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        states: Tensor = self.lstm(sequence)[0]
        return states[..., -1, :]


def _memory(steps: int) -> Question:
    return Question(_LastState(), (torch.randn(32, steps, 6),))


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
        build=seeded(_transformer),
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
        build=seeded(_memory),
    ),
)
"""Networks on sequences, by their inputs."""
