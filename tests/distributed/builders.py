"""Builders that workers import, some of them faulty."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

VARIABLE = "JACENGINE_TEST_FOLDER"
"""Names a folder in which `counted` leaves a file for each process that builds."""


def network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).double()
    return model, torch.randn(30, 6, dtype=torch.float64)


def counted() -> tuple[nn.Module, Tensor]:
    file = Path(os.environ[VARIABLE]) / str(os.getpid())
    file.write_text(file.read_text() + "." if file.exists() else ".")
    return network()


def other_values() -> tuple[nn.Module, Tensor]:
    model, x = network()
    return model, x + 1


def unseeded() -> tuple[nn.Module, Tensor]:
    torch.seed()
    return nn.Linear(6, 4), torch.randn(30, 6)


def half() -> tuple[nn.Module, Tensor]:
    """Return what makes tensors of odd sizes and of two dtypes."""

    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.to(torch.bfloat16).sin()[:, :1], x.double().cos()

    return Two(), torch.linspace(0, 1, 15).view(5, 3)


def holomorphic() -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    return torch.exp, torch.randn(6, 3, dtype=torch.complex128)


def two_arguments() -> tuple[Any, tuple[Tensor, Tensor]]:
    def fn(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"a": x * y, "b": x.sin()}

    torch.manual_seed(0)
    return fn, (torch.randn(8, 3), torch.randn(8, 3))


@dataclass
class Named:
    y: Tensor


def in_a_class() -> tuple[Any, Tensor]:
    return lambda x: Named(x.sin()), torch.ones(8, 3)


def raises_late() -> tuple[Any, Tensor]:
    def fn(x: Tensor) -> Tensor:
        if os.environ.get(VARIABLE) != str(os.getpid()):
            raise ValueError("not in a worker")
        return x.sin()

    return fn, torch.ones(30, 3, dtype=torch.float64)


def no_call() -> int:
    return 3
