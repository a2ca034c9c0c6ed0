"""The default registry: the built-in strategies and those of other distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from jacengine.interface import Strategy
from jacengine.layers.rule import Rule
from jacengine.layers.rules import RULES
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Options
from jacengine.problem.quantity import Quantity
from jacengine.problem.real_call import real_call
from jacengine.registry import PluginLoader, Registry
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort
from jacengine.strategies import BUILTIN

_REGISTRY = Registry(BUILTIN)
_PLUGINS = PluginLoader(_REGISTRY)


def known_strategies() -> Registry:
    """Return the default registry; plug-ins are loaded at first use."""
    _PLUGINS.load()
    return _REGISTRY


def broken_plugins() -> dict[str, str]:
    """Return the plug-ins that could not be loaded, with their errors."""
    _PLUGINS.load()
    return dict(_PLUGINS.broken)


def list_strategies(quantity: Quantity = "jacobian") -> tuple[str, ...]:
    """List the names of all registered strategies that compute a quantity.

    Raises:
        ArgumentError: There is no such quantity.
    """
    return known_strategies().names(quantity)


def register(strategy: Strategy) -> None:
    """Add a strategy, for this process, to the candidates of `auto` and by name.

    Args:
        strategy: An instance of a subclass of `Strategy`. One of mode `jvp` or `vjp` is
            also composed with gradients, for second derivatives.

    Raises:
        ArgumentError: It is not a strategy, or its name is malformed.
        DuplicateStrategyError: Its name is taken.
    """
    known_strategies().register(strategy)


def register_rule(layer: type[nn.Module], rule: Rule) -> None:
    """Teach `quasi_linear` how the parameters of a class of layers enter its output.

    Args:
        layer: The class; layers of exactly this class have the rule.
        rule: How to contract the layer's input with the cotangents of its output.

    Raises:
        ArgumentError: It is no rule, or no class of layers.
    """
    RULES.register(layer, rule)


def plan_request(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    options: Options,
    *,
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    memory_budget: Budget = None,
    effort: Effort = "quick",
    compiled: Compiled = False,
    calls: int | None = None,
) -> PlanRequest:
    """Look the strategies of a call up, and write it as one of a real function.

    Raises:
        ArgumentError: No strategy is left, or `effort`, `calls` or `complex` is none.
        InputTypeError: A complex tensor is not dense.
        UnknownStrategyError: A name is not known.
    """
    compositions = known_strategies().choose(strategies, exclude, options.quantity)
    return PlanRequest(
        *real_call(fn, args, kwargs or {}, options),
        compositions,
        memory_budget,
        effort,
        compiled,
        calls,
    )
