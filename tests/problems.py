"""Calls to test the engine on, prepared as the engine prepares them."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine.execution.method import Method
from jacengine.interface import Composition, Strategy
from jacengine.plans.plan import Plan
from jacengine.plans.planning import make_plan
from jacengine.plans.request import PlanRequest
from jacengine.problem.analyze import analyze
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Options, Problem
from jacengine.registry import Registry
from jacengine.selection.candidates import candidates
from jacengine.selection.reference import Reference
from jacengine.selection.runnable import first_runnable
from jacengine.strategies import BUILTIN


def prepared(
    fn: Callable[..., Any], *args: Any, **options: Any
) -> tuple[Problem, BoundFunction]:
    """Analyze a call and bind its arguments."""
    leaves = pytrees.flatten_call(args, {})[0]
    callee = Callee(fn, leaves)
    problem = analyze(callee, args, {}, Options(**options))
    return problem, problem.bind(callee, leaves)


def method_of(problem: Problem, call: BoundFunction, strategy: Strategy) -> Method:
    """Find how a strategy runs on a problem; what it raises fails the test."""
    methods = tuple(candidates(problem, [Composition(strategy)]))
    found = first_runnable(problem, call, methods, Reference.of(problem, call))
    assert isinstance(found, Method), found
    return found


def plan_among(
    strategies: Sequence[Strategy],
    fn: Callable[..., Any],
    *args: Any,
    memory_budget: Any = None,
    effort: Any = "none",
    **options: Any,
) -> Plan:
    """Make a plan from these strategies, without the disk cache."""
    asked = Options(**options)
    chosen = Registry(strategies).choose(None, (), asked.quantity)
    request = PlanRequest(fn, args, {}, asked, chosen, memory_budget, effort)
    return make_plan(request, use_cache=False)


def eligible(fn: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, ...]:
    """List the built-in strategies that do not decline a call."""
    problem, _ = prepared(fn, *args, **options)
    return tuple(
        s.name
        for s in BUILTIN
        if s.capabilities.mode != "trace" and s.check(problem) is None
    )


def mlp(*widths: int, seed: int = 0) -> nn.Sequential:
    """Make a float64 MLP with tanh between its layers, from a seed of its own."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def randn(*shape: int, seed: int = 1) -> Tensor:
    """Draw float64 numbers from a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


OF_ONE_INPUT = eligible(mlp(3, 4, 2), randn(5, 3), batch_dim=0)
"""The strategies for a module's input, which is one tensor ..."""

DIRECT = {s.name for s in BUILTIN if s.capabilities.mode == "direct"}
OF_INPUTS = [name for name in OF_ONE_INPUT if name not in DIRECT]
"""... and for inputs in general: in any number, and with a graph."""

OF_PARAMETERS = eligible(mlp(3, 4, 2), randn(5, 3), batch_dim=0, wrt="params")
"""The strategies for a module's parameters."""
