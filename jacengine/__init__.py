"""Jacobians in PyTorch by the fastest method that is right and fits.

>>> import torch, jacengine
>>> model = torch.nn.Linear(3, 2)
>>> jacengine.auto(model, torch.randn(5, 3), batch_dim=0).shape
torch.Size([5, 2, 3])
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from jacengine.api import (
    Benchmark,
    auto,
    benchmark,
    jacobian,
    list_strategies,
    plan,
    register,
)
from jacengine.errors import (
    ArgumentError,
    CoupledSamplesError,
    DuplicateStrategyError,
    InputTypeError,
    JacengineError,
    MemoryBudgetError,
    MutatedInputError,
    NoStrategyError,
    OutputTypeError,
    PlanMismatchError,
    RandomnessError,
    StrategyError,
    UnknownStrategyError,
    UnsupportedError,
)
from jacengine.interface import (
    Contraction,
    Passes,
    Point,
    Pullback,
    Pushforward,
    Strategy,
    Unsupported,
)
from jacengine.plans import Plan

try:
    __version__ = version("jacengine")
except PackageNotFoundError:  # an uninstalled checkout
    __version__ = "0+unknown"

__all__ = [
    "ArgumentError",
    "Benchmark",
    "Contraction",
    "CoupledSamplesError",
    "DuplicateStrategyError",
    "InputTypeError",
    "JacengineError",
    "MemoryBudgetError",
    "MutatedInputError",
    "NoStrategyError",
    "OutputTypeError",
    "Passes",
    "Plan",
    "PlanMismatchError",
    "Point",
    "Pullback",
    "Pushforward",
    "RandomnessError",
    "Strategy",
    "StrategyError",
    "UnknownStrategyError",
    "Unsupported",
    "UnsupportedError",
    "auto",
    "benchmark",
    "jacobian",
    "list_strategies",
    "plan",
    "register",
]
