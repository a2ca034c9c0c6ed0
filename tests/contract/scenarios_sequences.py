"""Recurrent networks and attention: inputs and parameters."""

import torch
from torch import Tensor, nn

from tests.contract.build_problem import (
    inputs_and_params,
    module,
    params,
    perturbed,
    scenario,
)
from tests.contract.scenario import Case, Scenario


class _Recurrent(nn.Module):
    """A recurrent network that returns only its outputs."""

    def __init__(self, body: nn.Module, *, sequence_first: bool = False) -> None:
        super().__init__()
        self.body = body
        self.sequence_first = sequence_first

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)[0]
        return out.transpose(0, 1) if self.sequence_first else out


class _LastState(nn.Module):
    """An LSTM that returns its outputs and its last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LSTM(3, 2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, (hidden, _) = self.body(x)
        return out, hidden[0]


class _Cell(nn.Module):
    """A recurrent cell, unrolled over the middle axis."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(len(x), 2)
        for step in range(x.shape[1]):
            hidden, cell = self.cell(x[:, step], (hidden, cell))
        return torch.cat([hidden, cell], dim=1)


class _SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


class _ProductAttention(nn.Module):
    """Causal attention by `scaled_dot_product_attention`, with its own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x).chunk(3, dim=-1)
        return nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True
        )


class _LanguageModel(nn.Module):
    """Tokens and positions, one encoder layer, logits of the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 4)
        self.positions = nn.Parameter(torch.zeros(3, 4))
        self.layer = _encoder()
        self.head = nn.Linear(4, 5, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.layer(self.tokens(tokens) + self.positions)
        out: Tensor = self.head(hidden[:, -1])
        return out


def _encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True)


def _lstm() -> nn.Module:
    return _Recurrent(nn.LSTM(3, 2, batch_first=True))


def _deep_lstm() -> nn.Module:
    return _Recurrent(nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True))


def _sequence_first() -> nn.Module:
    return _Recurrent(nn.LSTM(3, 2), sequence_first=True)


def _gru() -> nn.Module:
    return _Recurrent(nn.GRU(3, 2, batch_first=True))


def _rnn() -> nn.Module:
    return _Recurrent(nn.RNN(3, 2, batch_first=True))


def _language() -> Case:
    tokens = torch.tensor([[3, 0, 3], [1, 4, 2]])
    return Case(perturbed(_LanguageModel()), (tokens,))


SCENARIOS: tuple[Scenario, ...] = (
    *inputs_and_params("lstm", _lstm, (2, 4, 3), tags="recurrent"),
    module("lstm_whole", _lstm, (2, 4, 3), tags="recurrent"),
    module(
        "lstm_sequence_first_inputs",
        *(_sequence_first, (4, 2, 3)),
        tags="recurrent",
        batch_dim=(1,),
    ),
    module(
        "lstm_sequence_first_params",
        *(_sequence_first, (4, 2, 3)),
        tags="recurrent",
        batch_dim=(1,),
        wrt="params",
    ),
    params("lstm_deep_params", _deep_lstm, (2, 3, 3), tags="recurrent"),
    *inputs_and_params("lstm_state", _LastState, (2, 4, 3), tags="recurrent pytree"),
    *inputs_and_params("gru", _gru, (2, 4, 3), tags="recurrent"),
    *inputs_and_params("rnn", _rnn, (2, 4, 3), tags="recurrent"),
    *inputs_and_params("lstm_cell", _Cell, (3, 2, 3), tags="recurrent"),
    *inputs_and_params("self_attention", _SelfAttention, (2, 3, 4), tags="attention"),
    module("self_attention_whole", _SelfAttention, (2, 3, 4), tags="attention"),
    *inputs_and_params(
        "causal_attention", _ProductAttention, (2, 3, 4), tags="attention"
    ),
    *inputs_and_params("encoder_layer", _encoder, (2, 3, 4), tags="attention norm"),
    *inputs_and_params(
        "encoder_layer_eval",
        lambda: _encoder().eval(),
        (2, 3, 4),
        tags="attention norm",
    ),
    scenario(
        "language_model_params",
        _language,
        "attention embedding",
        wrt="params",
        batch_dim=0,
    ),
)
