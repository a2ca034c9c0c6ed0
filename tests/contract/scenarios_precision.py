"""Other dtypes than float64, each with the tolerance its precision allows."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.contract.build_problem import perturbed, randn, scenario
from tests.contract.scenario import Case, Scenario


def _wave(x: Tensor) -> Tensor:
    return torch.stack([x.sin() * x[..., :1], x.square()], dim=-2).sum(-1)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Sigmoid(), nn.Flatten())


def _function(dtype: torch.dtype) -> Callable[[], Case]:
    return lambda: Case(_wave, (randn(4).to(dtype),))


def _module(
    make: Callable[[], nn.Module], shape: tuple[int, ...], dtype: torch.dtype
) -> Callable[[], Case]:
    def build() -> Case:
        return Case(perturbed(make()).to(dtype), (randn(*shape).to(dtype),))

    return build


_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def _scenarios(tag: str, dtype: torch.dtype) -> tuple[Scenario, ...]:
    mlp, conv = _module(_mlp, (4, 3), dtype), _module(_conv, (3, 2, 4), dtype)
    return (
        scenario(f"{tag}_function", _function(dtype), tag),
        scenario(f"{tag}_mlp_inputs", mlp, tag, batch_dim=0),
        scenario(f"{tag}_mlp_params", mlp, tag, batch_dim=0, wrt="params"),
        scenario(f"{tag}_conv_params", conv, tag, batch_dim=0, wrt="params"),
    )


SCENARIOS: tuple[Scenario, ...] = tuple(
    one for tag, dtype in _DTYPES.items() for one in _scenarios(tag, dtype)
)
