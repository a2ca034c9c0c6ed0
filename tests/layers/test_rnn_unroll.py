"""Recurrent layers, unrolled in time, and where they cannot be."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.layers.rnn_unroll import unrolled
from jacengine.strategies.quasi_linear import QuasiLinear
from tests.problems import randn

SAMPLES, STEPS, WIDTH, HIDDEN = 3, 4, 2, 5

LAYERS: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "lstm, projected": (nn.LSTM, {"proj_size": 2, "num_layers": 2}),
    "lstm, bidirectional": (nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "lstm, projected, both": (
        nn.LSTM,
        {"proj_size": 2, "bidirectional": True},
    ),
    "gru": (nn.GRU, {}),
    "gru, no bias": (nn.GRU, {"bias": False}),
    "gru, bidirectional": (nn.GRU, {"bidirectional": True, "num_layers": 2}),
    "rnn": (nn.RNN, {}),
    "rnn, relu": (nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
}


class Whole(nn.Module):
    """A recurrent layer: all that it returns, or its last states alone."""

    def __init__(
        self, name: str, *, first: bool = True, states: bool = False, ends: bool = False
    ) -> None:
        super().__init__()
        kind, options = LAYERS[name]
        torch.manual_seed(0)
        make: Any = kind
        self.body: nn.RNNBase = make(WIDTH, HIDDEN, batch_first=first, **options)
        self.double()
        self.first, self.states, self.ends = first, states, ends

    def start(self, x: Tensor) -> Any:
        body = self.body
        levels = torch.arange(1.0, 1 + body.num_layers * (1 + body.bidirectional))
        scales = levels.to(x.dtype).view(-1, 1, 1)
        hidden = scales * x[:, 0, :1].expand(len(x), body.proj_size or HIDDEN)
        if body.mode != "LSTM":
            return hidden
        return hidden, scales * x[:, 1, 1:].expand(len(x), HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        sequence = x if self.first else x.transpose(0, 1)
        made, ends = self.body(sequence, *([self.start(x)] if self.states else []))
        made = made if self.first else made.transpose(0, 1)
        ends = ends if isinstance(ends, tuple) else (ends,)
        parts = [end.transpose(0, 1).flatten(1) for end in ends]
        if not self.ends:
            parts.append(made.flatten(1))
        return torch.cat(parts, dim=1)


def expected(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Differentiate every output entry of every sample by itself."""
    names, parameters = zip(*net.named_parameters(), strict=True)
    rows = [
        torch.autograd.grad(entry, parameters, retain_graph=True)
        for one in x
        for entry in net(one.unsqueeze(0)).flatten()
    ]
    blocks = [torch.stack(parts) for parts in zip(*rows, strict=True)]
    return {
        name: block.view(len(x), -1, *block.shape[1:])
        for name, block in zip(names, blocks, strict=True)
    }


def by_layers(
    net: nn.Module, x: Tensor, **options: Any
) -> tuple[jacengine.Plan, list[str]]:
    """Plan with `quasi_linear`; return how it splits samples."""
    plan = jacengine.plan(
        net, x, wrt="params", batch_dim=0, strategies=["quasi_linear"], **options
    )
    method = plan.chosen.method
    assert method is not None
    assert isinstance(method.strategy, QuasiLinear)
    modes: list[str] = [
        contraction.split.mode
        for plan in method.strategy.plans.values()
        for contraction in plan.contractions
        if contraction.split is not None
    ]
    return plan, modes


@pytest.mark.parametrize("options", [{}, {"states": True}, {"ends": True}], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, options: dict[str, bool]) -> None:
    net, x = Whole(name, **options), randn(SAMPLES, STEPS, WIDTH)
    plan, modes = by_layers(net, x)
    assert modes == ["unrolled"]
    found = plan(x)
    assert list(found) == [key for key, _ in net.named_parameters()]
    torch.testing.assert_close(found, expected(net, x))


@pytest.mark.parametrize("steps", [SAMPLES, 1])
def test_steps_first(steps: int) -> None:
    # As many steps as samples: which axis is which follows from the layer alone.
    net, x = Whole("gru, bidirectional", first=False), randn(SAMPLES, steps, WIDTH)
    plan, modes = by_layers(net, x)
    assert modes == ["unrolled"]
    torch.testing.assert_close(plan(x), expected(net, x))


def test_some_parameters() -> None:
    net, x = Whole("lstm, bidirectional"), randn(SAMPLES, STEPS, WIDTH)
    keys = ["body.bias_hh_l1_reverse", "body.weight_ih_l0"]
    plan = jacengine.plan(net, x, wrt=keys, batch_dim=0, strategies=["quasi_linear"])
    wanted = expected(net, x)
    torch.testing.assert_close(plan(x), {key: wanted[key] for key in keys})


def test_derivatives_of_the_result() -> None:
    net, x = Whole("gru"), randn(SAMPLES, STEPS, WIDTH)
    found = jacengine.jacobian(
        net, x, wrt="params", batch_dim=0, create_graph=True, strategy="quasi_linear"
    )
    by, of = net.get_parameter("body.weight_ih_l0"), "body.weight_hh_l0"
    again = torch.autograd.grad(found[of].square().sum(), by)[0]
    # Row after row, by plain reverse mode.
    rows = [
        torch.autograd.grad(entry, net.get_parameter(of), create_graph=True)[0]
        for one in x
        for entry in net(one.unsqueeze(0)).flatten()
    ]
    total = torch.stack(rows).square().sum()
    torch.testing.assert_close(again, torch.autograd.grad(total, by)[0])


def test_a_layer_that_cannot_be_unrolled() -> None:
    x = randn(SAMPLES, STEPS, WIDTH)
    hooked = Whole("gru")
    hooked.body.register_forward_hook(lambda _, __, made: (2 * made[0], made[1]))
    plan, modes = by_layers(hooked, x)
    assert "unrolled" not in modes
    torch.testing.assert_close(plan(x), expected(hooked, x))


@pytest.mark.parametrize("name", LAYERS)
def test_unrolled_layer_returns_the_same(name: str) -> None:
    net, x = Whole(name, states=True), randn(SAMPLES, STEPS, WIDTH)
    start = net.start(x)
    states = start if isinstance(start, tuple) else (start,)
    own = dict(net.body.named_parameters())
    made, *ends = unrolled(net.body, own, x, tuple(s.transpose(0, 1) for s in states))[
        0
    ]
    right, last = net.body(x, start)
    torch.testing.assert_close(made, right)
    for end, known in zip(
        ends, last if isinstance(last, tuple) else (last,), strict=True
    ):
        torch.testing.assert_close(end.transpose(0, 1), known)
