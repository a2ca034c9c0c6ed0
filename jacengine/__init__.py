"""Jacobians in PyTorch by the fastest method that is right and fits.

>>> import torch, jacengine
>>> model = torch.nn.Linear(3, 2)
>>> jacengine.auto(model, torch.randn(5, 3), batch_dim=0).shape
torch.Size([5, 2, 3])
"""

from __future__ import annotations

from jacengine._version import __version__
from jacengine.api import (
    auto,
    jacobian,
    list_strategies,
    plan,
    register,
    register_rule,
)
from jacengine.benchmarking import Benchmark, benchmark
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
from jacengine.estimators import Estimate
from jacengine.interface import (
    Contraction,
    Curvature,
    Passes,
    Point,
    Pullback,
    Pushforward,
    Strategy,
    Unsupported,
)
from jacengine.layers.rule import Form, Rule
from jacengine.loading import load_plan
from jacengine.operators.operator import JacobianOperator, operator
from jacengine.operators.products import hvp
from jacengine.plans.plan import Plan
from jacengine.plotting import plot
from jacengine.products.reused import release_memory
from jacengine.second_order import hessian, hessian_diagonal, laplacian
from jacengine.streaming import Piece, blocks
from jacengine.views import named_views

__all__ = [
    "ArgumentError",
    "Benchmark",
    "Contraction",
    "CoupledSamplesError",
    "Curvature",
    "DuplicateStrategyError",
    "Estimate",
    "Form",
    "InputTypeError",
    "JacengineError",
    "JacobianOperator",
    "MemoryBudgetError",
    "MutatedInputError",
    "NoStrategyError",
    "OutputTypeError",
    "Passes",
    "Piece",
    "Plan",
    "PlanMismatchError",
    "Point",
    "Pullback",
    "Pushforward",
    "RandomnessError",
    "Rule",
    "Strategy",
    "StrategyError",
    "UnknownStrategyError",
    "Unsupported",
    "UnsupportedError",
    "__version__",
    "auto",
    "benchmark",
    "blocks",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jacobian",
    "laplacian",
    "list_strategies",
    "load_plan",
    "named_views",
    "operator",
    "plan",
    "plot",
    "register",
    "register_rule",
    "release_memory",
]
