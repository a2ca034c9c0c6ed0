"""Each rule against autograd, one direction and one sample at a time."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jacengine.layers.rule import BlockContraction
from jacengine.layers.rules import RULES
from tests.problems import randn

K, S = 3, 2
"""Directions and samples in every test."""

Make = Callable[[], nn.Module]


def conv(kind: Any, inputs: int, outputs: int, kernel: Any, **options: Any) -> Make:
    return lambda: kind(inputs, outputs, kernel, **options)


CONVOLUTIONS: list[tuple[Make, tuple[int, ...]]] = [
    (conv(nn.Conv1d, 2, 3, 1), (2, 4)),
    (conv(nn.Conv1d, 2, 3, 3), (2, 7)),
    (conv(nn.Conv1d, 2, 3, 3, stride=2), (2, 8)),
    (conv(nn.Conv1d, 2, 3, 3, padding=2), (2, 5)),
    (conv(nn.Conv1d, 2, 3, 4, padding="same"), (2, 6)),
    (conv(nn.Conv1d, 2, 3, 3, padding="same", dilation=2), (2, 6)),
    (conv(nn.Conv1d, 2, 3, 3, padding="valid", bias=False), (2, 6)),
    (conv(nn.Conv2d, 2, 3, (2, 3)), (2, 4, 5)),
    (conv(nn.Conv2d, 2, 3, 3, stride=(2, 3), padding=(1, 2)), (2, 6, 5)),
    (conv(nn.Conv2d, 2, 3, 2, dilation=(2, 1)), (2, 5, 4)),
    (conv(nn.Conv2d, 4, 6, 3, groups=2, padding=1), (4, 4, 4)),
    (conv(nn.Conv2d, 3, 6, 2, groups=3, stride=2), (3, 4, 5)),
    (conv(nn.Conv2d, 2, 3, (3, 2), padding="same"), (2, 4, 4)),
    (conv(nn.Conv2d, 2, 3, 3, padding=(1, 2), padding_mode="reflect"), (2, 4, 5)),
    (conv(nn.Conv2d, 2, 3, 3, padding=(2, 1), padding_mode="replicate"), (2, 4, 4)),
    (conv(nn.Conv2d, 2, 3, 3, padding=(1, 2), padding_mode="circular"), (2, 4, 4)),
    (conv(nn.Conv2d, 2, 2, 4, padding="same", padding_mode="circular"), (2, 5, 5)),
    (conv(nn.Conv3d, 2, 2, (1, 2, 3), padding=(0, 1, 2)), (2, 2, 3, 3)),
    (conv(nn.Conv3d, 2, 4, 2, stride=(1, 2, 1), groups=2), (2, 3, 4, 3)),
    (conv(nn.Conv3d, 2, 2, 2, dilation=(1, 2, 1)), (2, 2, 4, 3)),
    (conv(nn.ConvTranspose1d, 2, 3, 3), (2, 4)),
    (conv(nn.ConvTranspose1d, 2, 3, 3, stride=2, output_padding=1), (2, 4)),
    (conv(nn.ConvTranspose1d, 2, 3, 4, stride=3, padding=2, bias=False), (2, 4)),
    (conv(nn.ConvTranspose1d, 2, 3, 2, dilation=3), (2, 4)),
    (conv(nn.ConvTranspose2d, 2, 3, (2, 3), stride=(2, 1), padding=(0, 1)), (2, 3, 4)),
    (conv(nn.ConvTranspose2d, 4, 6, 3, groups=2, padding=1), (4, 3, 3)),
    (
        conv(nn.ConvTranspose2d, 4, 4, 2, groups=2, stride=3, output_padding=(2, 1)),
        (4, 2, 3),
    ),
    (conv(nn.ConvTranspose3d, 2, 3, 2, stride=(1, 2, 1)), (2, 2, 2, 3)),
    (conv(nn.ConvTranspose3d, 2, 2, 2, groups=2, dilation=(1, 2, 1)), (2, 2, 2, 2)),
]
"""Layers, and the shape of what they take."""

OTHERS: list[tuple[Make, tuple[int, ...]]] = [
    (lambda: nn.Linear(3, 4), (3,)),
    (lambda: nn.Linear(3, 1, bias=False), (3,)),
    (lambda: nn.modules.linear.NonDynamicallyQuantizableLinear(3, 4), (3,)),
    (lambda: nn.LayerNorm(5), (5,)),
    (lambda: nn.LayerNorm([2, 5], eps=0.1), (2, 5)),
    (lambda: nn.LayerNorm(5, bias=False), (5,)),
    (lambda: nn.RMSNorm(5), (5,)),
    (lambda: nn.RMSNorm([2, 5], eps=0.1), (2, 5)),
    (lambda: nn.GroupNorm(2, 4), (4,)),
    (lambda: nn.GroupNorm(2, 4, eps=0.1), (4, 3)),
    (lambda: nn.GroupNorm(4, 4), (4, 3, 2)),
    (lambda: nn.BatchNorm1d(4).eval(), (4,)),
    (lambda: nn.BatchNorm1d(4, eps=0.1).eval(), (4, 3)),
    (lambda: nn.BatchNorm2d(4).eval(), (4, 3, 2)),
    (lambda: nn.BatchNorm3d(4).eval(), (4, 2, 1, 3)),
]

EMBEDDINGS: list[Make] = [
    lambda: nn.Embedding(6, 3),
    lambda: nn.Embedding(6, 3, padding_idx=2),
    lambda: nn.Embedding(6, 3, padding_idx=-1, sparse=False),
]


def varied(make: Make) -> nn.Module:
    """Make a layer away from the ones and zeros that it starts at."""
    layer = make().double()
    for tensor in (*layer.parameters(), *layer.buffers()):
        if tensor.is_floating_point():
            tensor.data = torch.rand_like(tensor) + 0.5
    return layer


def check(layer: nn.Module, x: Tensor) -> None:
    """Check the rule of a layer on its input `(S, N, *own)`."""
    rule = RULES.find(layer)
    assert rule is not None
    y = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    g = randn(y.shape[0], K, *y.shape[1:], seed=4)
    assert rule.axes_in(layer, x.dim() - 1) == x.dim() - 2
    assert rule.axes_out(layer, y.dim() - 1) == y.dim() - 2
    for name, parameter in layer.named_parameters():
        wanted = torch.stack(
            [
                torch.stack(
                    [
                        torch.autograd.grad(
                            y[s], parameter, g[s, k], retain_graph=True
                        )[0]
                        for k in range(K)
                    ]
                )
                for s in range(x.shape[0])
            ]
        )
        form = rule.form(name)
        for contract in form.implementations:
            block = contract(layer, x, g, None)
            assert block.shape == wanted.shape
            assert torch.allclose(block, wanted, rtol=1e-10, atol=1e-12), name
            _check_places(contract, layer, x, g, wanted)
        if form.factors is not None:
            left, right = form.factors(layer, x, g)
            block = torch.einsum("skqon,sqin->skqoi", left, right).reshape(wanted.shape)
            assert torch.allclose(block, wanted, rtol=1e-10, atol=1e-12), name


def _check_places(
    contract: BlockContraction, layer: nn.Module, x: Tensor, g: Tensor, wanted: Tensor
) -> None:
    """Check what is written into a larger result: strided, with something in it."""
    parameter, size = wanted.shape[2:], wanted[0, 0].numel()
    rows = torch.full((x.shape[0], 2 * K, *parameter), float("nan")).double()
    place = rows[:, 1 : 1 + K]
    contract(layer, x, g, place)
    assert torch.allclose(place, wanted, rtol=1e-10, atol=1e-12)
    assert rows[:, 0].isnan().all()
    assert rows[:, 1 + K :].isnan().all()
    columns = torch.full((x.shape[0], K, size + 2), float("nan")).double()
    place = columns[..., 1:-1].unflatten(2, parameter)
    contract(layer, x, g, place)
    assert torch.allclose(place, wanted, rtol=1e-10, atol=1e-12)
    assert columns[..., [0, -1]].isnan().all()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("positions", [1, 3])
@pytest.mark.parametrize(("make", "shape"), [*OTHERS, *CONVOLUTIONS])
def test_rule(make: Make, shape: tuple[int, ...], positions: int) -> None:
    check(varied(make), randn(S, positions, *shape))


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("make", EMBEDDINGS)
def test_rule_of_embeddings(make: Make, positions: int) -> None:
    tokens = torch.randint(0, 6, (S, positions))
    tokens[:, 0] = torch.tensor([2, 5])
    tokens[:, -1] = tokens[:, 0]
    check(varied(make), tokens)


def test_every_rule_is_checked_here() -> None:
    makes = [*(m for m, _ in (*OTHERS, *CONVOLUTIONS)), *EMBEDDINGS]
    assert {type(make()) for make in makes} == {
        layer for layer in RULES.layers if layer.__module__.startswith("torch.")
    }


def test_a_layer_that_torch_lacks_has_no_rule() -> None:
    code = (
        "from torch import nn\n"
        "del nn.RMSNorm\n"
        "from jacengine.layers.rules import RULES\n"
        "names = {layer.__name__ for layer in RULES.layers}\n"
        "assert 'LayerNorm' in names and 'RMSNorm' not in names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_rules_can_be_differentiated(number: int) -> None:
    """With `create_graph` a rule is itself part of the graph."""
    layer, x = varied(lambda: nn.Conv2d(2, 2, 2)), randn(S, 1, 2, 3, 3)
    rule = RULES.find(layer)
    assert rule is not None
    x.requires_grad_()
    g = randn(S, K, 1, 2, 2, 2).requires_grad_()

    def run(x: Tensor, g: Tensor) -> Tensor:
        return rule.form("weight").implementations[number](layer, x, g, None)

    assert torch.autograd.gradcheck(run, (x, g))


class Doubled(nn.Linear):
    """A linear layer by descent, another function by content."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return 2 * super().forward(input)


def hooked(register: str) -> nn.Module:
    layer = nn.Linear(3, 3)
    getattr(layer, register)(lambda *_: None)
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        Doubled(3, 3),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        hooked("register_forward_hook"),
        hooked("register_forward_pre_hook"),
        hooked("register_full_backward_hook"),
        hooked("register_full_backward_pre_hook"),
        nn.Embedding(4, 3, max_norm=1.0),
        nn.Embedding(4, 3, scale_grad_by_freq=True),
        nn.BatchNorm1d(3).train(),
        nn.BatchNorm1d(3, track_running_stats=False).eval(),
        nn.Sequential(nn.Linear(3, 3)),
        nn.PReLU(),
        nn.Bilinear(3, 3, 3),
    ],
)
def test_no_rule(layer: nn.Module) -> None:
    assert RULES.find(layer) is None
