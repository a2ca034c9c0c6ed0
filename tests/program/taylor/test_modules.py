"""Whole models, closed forms, and derivatives of the coefficients themselves."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from jacengine.program.taylor.propagate import propagate
from tests.program.taylor.reference import check, point, reference, seeds


class Residual(nn.Module):
    """Layers with LayerNorm around which the input goes too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.inner = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = torch.add(x, self.inner(self.norm(x)))
        return x.mean(-1)


class Norm(nn.LayerNorm):
    """LayerNorm by hand: torch's own is wrong in third derivatives."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        x = input - input.mean(-1, keepdim=True)
        x = x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return x * self.weight + self.bias


class Attention(nn.Module):
    """One block of attention over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(1, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x.unsqueeze(-1))
        return torch.add(h, self.attention(h, h, h)[0]).square().mean((1, 2))


class Encoder(nn.Module):
    """Torch's own layer of a transformer, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            4, 2, 8, activation="gelu", batch_first=True
        ).eval()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sum(self.layer(x.reshape(2, 2, 4)), -1)


class Wave(nn.Module):
    """Logarithm of a Slater determinant with a Jastrow factor of distances."""

    def __init__(self) -> None:
        super().__init__()
        self.orbitals = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        r = x.reshape(-1, 2, 2)
        away = torch.linalg.norm(r, dim=-1, keepdim=True)
        _, slater = torch.linalg.slogdet(torch.tanh(self.orbitals(r)) * (-away).exp())
        between = (r[:, 0] - r[:, 1]).norm(dim=-1)
        return torch.sub(slater, 0.5 / (1 + between))


class Gated(nn.Module):
    """A GRU cell, written by hand, over two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(6, 8)
        self.candidate = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 4, dtype=x.dtype)
        for step in x.chunk(2, 1):
            z, r = torch.sigmoid(self.gates(torch.cat([step, h], 1))).chunk(2, 1)
            n = torch.tanh(self.candidate(torch.cat([step, r * h], 1)))
            h = (1 - z) * n + z * h
        return h


class Sine(nn.Module):
    """A network of sines in space and time, given apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([x[:, :1], x[:, 1:]], 1)
        return torch.squeeze(self.last(torch.sin(3 * self.first(h))), -1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(1, 3, 2),
        nn.BatchNorm2d(3),
        nn.ELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(3, 2),
    ).eval()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "residual": Residual,
    "convolutional": convolutional,
    "attention": Attention,
    "encoder": Encoder,
    "wave function": Wave,
    "gated": Gated,
    "sine": Sine,
}


@pytest.mark.parametrize("name", MODELS)
def test_model_matches_reverse_mode(name: str) -> None:
    torch.manual_seed(2)
    with sdpa_kernel(SDPBackend.MATH):
        check(MODELS[name]().double(), point(4, 4))


@pytest.mark.parametrize("name", MODELS)
def test_coefficient_has_the_derivatives_of_the_reference(name: str) -> None:
    torch.manual_seed(2)
    model = MODELS[name]().double()
    x = point(4, 4).requires_grad_()
    tangents = seeds((x,), broadcast=True)
    (found,) = propagate(lambda x: (model(x),), (x,), tangents)
    wanted = [x, *model.parameters()]

    def slopes(value: Tensor) -> tuple[Tensor, ...]:
        weights = torch.arange(1.0, 1 + value.numel(), dtype=value.dtype)
        loss = (value.reshape(-1) * weights).sum() + value.square().sum()
        return torch.autograd.grad(loss, wanted, materialize_grads=True)

    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.__class__ = Norm
    with sdpa_kernel(SDPBackend.MATH):
        expected = slopes(reference(model, (x,), tangents))
    for one, other in zip(slopes(found), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_two_primals_meet_in_mixed_terms() -> None:
    check(
        lambda x, t: torch.tanh(x * t) + (x @ t.T).sum(1, keepdim=True),
        point(4, 2),
        point(4, 2) + 1,
    )


def basis(samples: int, size: int) -> Tensor:
    one = torch.eye(size, dtype=torch.float64)
    return one[:, None].expand(size, samples, size)


def laplacian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return propagate(lambda x: (function(x),), (x,), (basis(*x.shape),))[0]


def test_closed_forms() -> None:
    x = point(5, 3)
    zero = torch.zeros(5, dtype=x.dtype)
    harmonic = laplacian(lambda x: 1 / x.norm(dim=1), x)
    torch.testing.assert_close(harmonic, zero, atol=1e-10, rtol=0)
    A = point(3, 3)
    quadratic = laplacian(lambda x: torch.einsum("bi,ij,bj->b", x, A, x), x)
    torch.testing.assert_close(quadratic, zero + 2 * A.trace())
    square = x.square().sum(1)
    gauss = laplacian(lambda x: torch.exp(-x.square().sum(1) / 2), x)
    torch.testing.assert_close(gauss, (square - 3) * torch.exp(-square / 2))


def test_half_precision_is_kept() -> None:
    x = point(3, 2).bfloat16()
    (found,) = propagate(lambda x: (F.silu(x).sum(1),), (x,), (basis(3, 2).bfloat16(),))
    assert found.dtype == torch.bfloat16


def test_outputs_wider_than_the_input_keep_their_dtype() -> None:
    x = point(3, 2).float()
    wide = point(3, 2)
    (found,) = propagate(lambda x: (x[0, 0] * x * wide,), (x,), (basis(3, 2).float(),))
    assert found.dtype == torch.float64
