"""Parameters that are used more than once, elsewhere, partly, or not at all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from tests.contract.build_problem import module, params, perturbed, scenario
from tests.contract.scenario import Case, Scenario


class _Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(torch.tanh(self.layer(x)))
        return out[:, 1:]


class _TwiceDifferently(nn.Module):
    """Calls one layer on the samples, and on sequences made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        sequence: Tensor = self.layer(x)
        mean: Tensor = self.layer(x.mean(1))
        return sequence.sin().sum(1) * mean


class _Tied(nn.Module):
    """Two layers with the same weight and different offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out[:, :2]


class _TiedHead(nn.Module):
    """An embedding that is also the weight of the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(5, 3)
        self.body = nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = torch.tanh(self.body(self.emb(tokens))).mean(1)
        return F.linear(hidden, self.emb.weight)


class _Functional(nn.Module):
    """Uses the weight of a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ self.layer.weight.t() + self.layer.bias)
        return hidden[:, :2] * self.layer.weight.square().sum()


class _CalledAndFunctional(nn.Module):
    """Calls a layer, and uses its weight besides."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.layer(x))
        return hidden @ self.layer.weight


class _Penalised(nn.Module):
    """Adds a norm of the weight, which no sample has an influence on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out + 0.1 * self.layer.weight.square().sum()


class _Unused(nn.Module):
    """Has a layer and a number that the output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(3, 2)
        self.idle = nn.Linear(2, 4)
        self.number = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.idle(x[:, :2])
        out: Tensor = self.used(x)
        return out.sin()


class _OnTable(nn.Module):
    """Calls a layer on a table that all samples share, without a batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Linear(3, 4, bias=False)
        self.body = nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        table = self.positions(torch.eye(3, dtype=x.dtype))
        return torch.tanh(self.body(x) * table).sum(-1)


class _Aliased(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.tanh(self.first(x)))
        return y


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def _frozen() -> nn.Module:
    model = _mlp()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in {"0.bias", "2.weight"})
    return model


def _weight_norm() -> nn.Module:
    return nn.Sequential(weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2))


def _tied_head() -> Case:
    tokens = torch.tensor([[1, 1, 4, 0], [3, 2, 3, 1]])
    return Case(perturbed(_TiedHead()), (tokens,))


def _names(
    name: str, make: Callable[[], nn.Module], *names: str, tags: str = ""
) -> Scenario:
    return module(name, make, (5, 3), tags=tags, wrt=[*names], batch_dim=0)


SCENARIOS: tuple[Scenario, ...] = (
    params("module_called_twice", _Twice, (4, 3), tags="shared"),
    params("module_called_differently", _TwiceDifferently, (5, 4, 2), tags="shared"),
    params("tied_weights", _Tied, (4, 3), tags="tied"),
    module("tied_weights_whole", _Tied, (4, 3), tags="tied", wrt="params"),
    scenario("tied_embedding", _tied_head, "tied embedding", wrt="params", batch_dim=0),
    params("module_with_two_names", _Aliased, (4, 3), tags="shared"),
    _names("module_with_two_names_named", _Aliased, "second.weight", tags="shared"),
    _names("tied_alias_named", _Tied, "second.weight", "first.bias", tags="tied"),
    params("functional_weight", _Functional, (5, 3), tags="functional"),
    params("weight_called_and_functional", _CalledAndFunctional, (5, 3), tags="tied"),
    params("weight_penalty", _Penalised, (4, 3), tags="functional"),
    params("layer_on_shared_table", _OnTable, (5, 1, 2), tags="functional"),
    params("layer_on_shared_table_square", _OnTable, (3, 1, 2), tags="functional"),
    params("unused_parameters", _Unused, (4, 3), tags="unused"),
    params("frozen_parameters", _frozen, (5, 3), tags="frozen"),
    _names("frozen_parameter_named", _frozen, "0.weight", "2.weight", tags="frozen"),
    _names("parameter_names", _mlp, "2.bias", "0.weight", tags="subset"),
    _names("parameter_name", _mlp, "0.bias", tags="subset"),
    module(
        "parameter_names_whole",
        *(_mlp, (2, 3)),
        tags="subset",
        wrt=["2.weight", "0.bias"],
    ),
    params("weight_norm_params", _weight_norm, (5, 3), tags="parametrized"),
    module(
        "weight_norm_inputs", _weight_norm, (5, 3), tags="parametrized", batch_dim=0
    ),
)
