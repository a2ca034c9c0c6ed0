"""Parameters that a module reaches by another road than their registration.

The reference is a loop over plain `autograd.grad` by the module's own parameters.
"""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

import jacengine
from tests.problems import mlp, randn


class TiedByList(nn.Module):
    """An output layer whose weight is an embedding's, held in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.tied = [self.embedding.weight]

    def forward(self, x: Tensor) -> Tensor:
        index = (x.detach().abs() * 7).long() % 7
        return F.linear(torch.tanh(self.embedding(index).sum(1) + x), self.tied[0])


class Penalised(nn.Module):
    """A model that adds the norm of its parameters, from a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(3, 4, 1)
        self.listed = list(self.body.parameters())

    def forward(self, x: Tensor) -> Tensor:
        squares = torch.stack([p.square().sum() for p in self.listed])
        result: Tensor = self.body(x) + 0.1 * squares.sum()
        return result


class ByHook(nn.Module):
    """A layer whose input a hook multiplies with another layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 2)
        weight = self.a.weight
        self.b.register_forward_pre_hook(lambda _, args: (args[0] @ weight,))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.b(torch.tanh(self.a(x)))
        return result


class ByPartial(nn.Module):
    """A parameter that a `functools.partial` holds too."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 3))
        self.multiply = functools.partial(torch.matmul, other=self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(torch.tanh(x @ self.weight))


class ByClosure(nn.Module):
    """A parameter that is read by a function made in the constructor."""

    def __init__(self) -> None:
        super().__init__()
        weight = self.weight = nn.Parameter(torch.rand(3, 2))
        self.run: Callable[[Tensor], Tensor] = lambda x: torch.sin(x @ weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x) * self.weight.sum()


class CallsItself(nn.Module):
    """`torch.func.functional_call` of a part, with parameters from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.rand(()))

    def forward(self, x: Tensor) -> Tensor:
        scaled = {k: self.scale * p for k, p in self.part.named_parameters()}
        result: Tensor = torch.func.functional_call(self.part, scaled, (x,))
        return result


class CachedParametrization(nn.Module):
    """A parametrized layer that is called twice within `parametrize.cached()`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        parametrize.register_parametrization(self.layer, "weight", nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        with parametrize.cached():
            result: Tensor = self.layer(torch.tanh(self.layer(x)))
        return result


MODULES = (
    TiedByList,
    Penalised,
    ByHook,
    ByPartial,
    ByClosure,
    CallsItself,
    CachedParametrization,
)


def make(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    module = kind()
    for parameter in module.parameters():  # in place: the references stay
        parameter.data = parameter.data.double()
    return module


def rows(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Compute `(B, *out, *param)` by the module's own parameters, entry by entry."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    out = module(x)
    each = [
        torch.autograd.grad(
            entry, parameters, retain_graph=True, materialize_grads=True
        )
        for entry in out.flatten()
    ]
    return {
        name: torch.stack([row[i] for row in each]).reshape(*out.shape, *p.shape)
        for i, (name, p) in enumerate(zip(names, parameters, strict=True))
    }


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("batch_dim", [0, None])
def test_jacobians_show_every_use(kind: type[nn.Module], batch_dim: int | None) -> None:
    module, x = make(kind), randn(4, 3)
    found = jacengine.auto(module, x, wrt="params", batch_dim=batch_dim)
    torch.testing.assert_close(found, rows(module, x))


@pytest.mark.parametrize("kind", MODULES)
def test_gram_matrices_show_every_use(kind: type[nn.Module]) -> None:
    module, x = make(kind), randn(4, 3)
    whole = torch.cat(
        [b.reshape(4, b.shape[1], -1) for b in rows(module, x).values()], 2
    ).flatten(0, 1)
    found = jacengine.operator(module, x, wrt="params", batch_dim=0).gram()
    torch.testing.assert_close(found, whole @ whole.T)


def test_hessians_show_every_use() -> None:
    module, x = make(Penalised), randn(1, 3)
    parameters = list(module.parameters())
    first = torch.autograd.grad(module(x).sum(), parameters, create_graph=True)
    gradient = torch.cat([part.flatten() for part in first])
    expected = torch.stack(
        [
            torch.cat(
                [
                    p.flatten()
                    for p in torch.autograd.grad(
                        entry, parameters, retain_graph=True, materialize_grads=True
                    )
                ]
            )
            for entry in gradient
        ]
    )
    found = jacengine.hessian(module, x, wrt="params", layout="flat")
    torch.testing.assert_close(found[0, 0], expected)


def test_a_frozen_parameter_is_differentiated_where_it_is_named() -> None:
    module, x = make(ByPartial), randn(4, 3)
    expected = rows(module, x)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    found = jacengine.auto(module, x, wrt=["weight"], batch_dim=0)
    torch.testing.assert_close(found, expected)
    assert not any(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("strategy", jacengine.list_strategies())
def test_by_name_it_is_right_or_refused(strategy: str) -> None:
    module, x = make(ByClosure), randn(4, 3)
    try:
        found = jacengine.jacobian(
            module, x, wrt="params", batch_dim=0, strategy=strategy
        )
    except jacengine.UnsupportedError:
        assert strategy not in {"reverse_loop", "batched_grad"}
    else:
        torch.testing.assert_close(found, rows(module, x))
