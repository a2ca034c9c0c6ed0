"""Jacobians in PyTorch by the fastest method that is right and fits.

>>> import torch, jacengine
>>> model = torch.nn.Linear(3, 2)
>>> jacengine.auto(model, torch.randn(5, 3), batch_dim=0).shape
torch.Size([5, 2, 3])
"""

from __future__ import annotations

from jacengine._version import __version__
from jacengine.api.benchmark import Benchmark, benchmark
from jacengine.api.blocks import blocks
from jacengine.api.derivatives import hessian, hessian_diagonal, hvp, laplacian
from jacengine.api.jacobian import auto, jacobian
from jacengine.api.operator import operator
from jacengine.api.plan import load_plan, plan
from jacengine.api.strategies import list_strategies, register, register_rule
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
from jacengine.flat_parameters import named_views
from jacengine.interface import Capabilities, Passes, Point, Strategy, Unsupported
from jacengine.layers.rule import Form, Rule
from jacengine.linear_operators.jacobian_operator import JacobianOperator
from jacengine.plans.blockwise import Piece
from jacengine.plans.hutchinson import Estimate
from jacengine.plans.plan import Plan
from jacengine.plotting import plot
from jacengine.problem.gradient import GradientMode
from jacengine.results.buffer_pool import release_memory

__all__ = [
    "ArgumentError",
    "Benchmark",
    "Capabilities",
    "CoupledSamplesError",
    "DuplicateStrategyError",
    "Estimate",
    "Form",
    "GradientMode",
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
