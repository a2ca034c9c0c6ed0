"""Diagonals of Jacobians, divergences and determinants, against the whole matrix."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import jacengine
from jacengine.plans import determinant
from tests.problems import mlp, randn

NET = mlp(6, 9, 6)
MASK = torch.tril(torch.ones(6, 6, dtype=torch.float64))


KERNEL = randn(1, 1, 3, 3)


def image(x: Tensor) -> Tensor:
    return F.conv2d(x[None, None].tanh(), KERNEL, padding=1)[0, 0]


class Autoregressive(nn.Module):
    """Each output depends on the inputs before it, and grows with its own."""

    def __init__(self, *, upper: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(randn(6, 6, seed=5))
        self.mask = MASK.T if upper else MASK

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask).tanh() + 2 * x


@dataclass(frozen=True)
class Field:
    """A vector field, and where it is looked at."""

    fn: Callable[..., Any]
    args: tuple[Tensor, ...]
    options: dict[str, Any] = field(default_factory=dict)


FIELDS: dict[str, Field] = {
    "network": Field(NET, (randn(6),)),
    "samples": Field(NET, (randn(5, 6),), {"batch_dim": 0}),
    "samples last": Field(lambda x: NET(x.T), (randn(6, 5),), {"batch_dim": (1,)}),
    "image": Field(image, (randn(3, 4),)),
    "second argument": Field(
        lambda a, x: a * x.sin(), (randn(4), randn(4, seed=2)), {"wrt": 1}
    ),
    "one number": Field(lambda x: x.exp(), (randn(),)),
    "float32": Field(lambda x: x.sin() * x.flip(0), (randn(7).float(),)),
}


def right(one: Field) -> Tensor:
    """Take the diagonal out of the whole Jacobian."""
    J: Tensor = jacengine.jacobian(
        one.fn, *one.args, strategy="reverse_loop", **one.options
    )
    if "batch_dim" in one.options:
        return J.diagonal(dim1=1, dim2=2)
    shape = J.shape[: J.dim() // 2]
    return J.reshape(shape.numel(), -1).diagonal().reshape(shape)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("strategy", jacengine.list_strategies("diagonal"))
def test_every_strategy(name: str, strategy: str) -> None:
    one, wanted = FIELDS[name], right(FIELDS[name])
    samples = "batch_dim" in one.options
    for quantity, expected in (
        ("diagonal", wanted),
        ("divergence", wanted.sum(1) if samples else wanted.sum()),
    ):
        options: dict[str, Any] = {**one.options, "quantity": quantity}
        try:
            plan = jacengine.plan(
                one.fn, *one.args, strategies=[strategy], effort="none", **options
            )
        except jacengine.NoStrategyError as error:
            assert strategy == "quasi_linear", error  # noqa: PT017
            continue
        torch.testing.assert_close(plan(*one.args), expected)


@pytest.mark.parametrize("name", FIELDS)
def test_functions(name: str) -> None:
    one, wanted = FIELDS[name], right(FIELDS[name])
    found = jacengine.diagonal(one.fn, *one.args, **one.options)
    torch.testing.assert_close(found, wanted)
    samples = "batch_dim" in one.options
    options: dict[str, Any] = {"batch_dim": None, **one.options}
    found = jacengine.divergence(one.fn, *one.args, **options)
    torch.testing.assert_close(found, wanted.sum(1) if samples else wanted.sum())


def test_several_inputs_and_outputs() -> None:
    x, y = randn(3), randn(4, seed=2)

    def fn(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.sin() * y.sum(), y**3 + x.sum()

    first, second = jacengine.diagonal(fn, x, y, wrt=(0, 1))
    torch.testing.assert_close(first, x.cos() * y.sum())
    torch.testing.assert_close(second, 3 * y**2)
    total = jacengine.divergence(fn, x, y, wrt=(0, 1), batch_dim=None)
    torch.testing.assert_close(total, first.sum() + second.sum())


def test_columns_and_out_and_aux() -> None:
    x = randn(5, 6)
    wanted = right(FIELDS["samples"])
    some = torch.tensor([4, 1])
    found = jacengine.diagonal(NET, x, batch_dim=0, columns=some)
    torch.testing.assert_close(found, wanted[:, some])
    partial = jacengine.divergence(NET, x, columns=some)
    torch.testing.assert_close(partial, wanted[:, some].sum(1))
    out = torch.full_like(wanted, torch.nan)
    assert jacengine.diagonal(NET, x, batch_dim=0, out=out) is out
    torch.testing.assert_close(out, wanted)
    total, aux = jacengine.divergence(lambda x: (NET(x), 3), x, has_aux=True)
    torch.testing.assert_close(total, wanted.sum(1))
    assert aux == 3


@pytest.mark.parametrize("function", [jacengine.diagonal, jacengine.divergence])
def test_create_graph(function: Any) -> None:
    x = randn(5, 6).requires_grad_()
    found = function(NET, x, batch_dim=0, create_graph=True)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    J = torch.func.vmap(torch.func.jacrev(NET))

    def trace(x: Tensor) -> Tensor:
        total: Tensor = J(x).diagonal(dim1=1, dim2=2).sum()
        return total

    torch.testing.assert_close(gradient, torch.func.grad(trace)(x.detach()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jacengine.diagonal(nn.Linear(3, 2), torch.ones(3)), "shapes of its"),
        (lambda: jacengine.divergence(nn.Linear(3, 2), torch.ones(1, 3)), "returns"),
        (lambda: jacengine.logabsdet(nn.Linear(3, 2), torch.ones(1, 3)), "square"),
        (
            lambda: jacengine.plan(
                torch.sin, torch.ones(3), quantity="diagonal", layout="flat"
            ),
            "is of a matrix",
        ),
    ],
)
def test_what_is_not_square_is_refused(call: Any, message: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match=message):
        call()


@pytest.mark.parametrize("upper", [False, True])
def test_determinants_of_triangular_matrices(
    upper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, x = Autoregressive(upper=upper).double(), randn(5, 6)
    wanted = torch.func.vmap(torch.func.jacrev(flow))(x)
    monkeypatch.setattr(determinant, "torch", None)  # no factorisation
    found = jacengine.logabsdet(flow, x)
    monkeypatch.undo()
    torch.testing.assert_close(found, torch.linalg.slogdet(wanted).logabsdet)


def test_determinants() -> None:
    x = randn(5, 6)
    J = jacengine.auto(NET, x, batch_dim=0)
    wanted = torch.linalg.slogdet(J).logabsdet
    torch.testing.assert_close(jacengine.logabsdet(NET, x), wanted)
    torch.testing.assert_close(
        jacengine.logabsdet(NET, x[0], batch_dim=None), wanted[0]
    )
    reshaped = jacengine.logabsdet(lambda x: NET(x).view(-1, 2, 3), x)
    torch.testing.assert_close(reshaped, wanted)
    singular = jacengine.logabsdet(lambda x: x.mean(1, keepdim=True) + 0 * x, x)
    assert bool((singular == -torch.inf).all() | (singular < -30).all())
    number = jacengine.logabsdet(torch.exp, randn(), batch_dim=None)
    torch.testing.assert_close(number, randn())


@pytest.mark.parametrize("fn", [NET, Autoregressive().double()], ids=["dense", "flow"])
def test_determinants_are_differentiable(fn: Any) -> None:
    x = randn(5, 6).requires_grad_()
    found = jacengine.logabsdet(fn, x, create_graph=True)
    (gradient,) = torch.autograd.grad(found.sum(), x)

    def total(x: Tensor) -> Tensor:
        J: Tensor = torch.func.vmap(torch.func.jacrev(fn))(x)
        logs: Tensor = torch.linalg.slogdet(J).logabsdet
        return logs.sum()

    torch.testing.assert_close(gradient, torch.func.grad(total)(x.detach()))


def test_a_function_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, x = Autoregressive().double(), randn(5, 6)
    jacengine.logabsdet(flow, x)
    monkeypatch.setattr(determinant, "read_if_possible", None)
    jacengine.logabsdet(flow, randn(5, 6, seed=3))
