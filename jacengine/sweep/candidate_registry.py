"""Who takes part in a sweep, by name."""

from __future__ import annotations

from dataclasses import dataclass

from jacengine.api.builtin_registry import known_strategies
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.errors import ArgumentError, nearest
from jacengine.interface import Strategy
from jacengine.problem.quantity import PARTS, TITLES, Quantity
from jacengine.sweep.case_spec import Settings


@dataclass(frozen=True)
class Roster:
    """Strategies and libraries.

    Attributes:
        strategies: The candidates of `auto`, each measured by itself too.
        baselines: Other libraries.
        compiled: Whether the choice of `auto` is compiled too.
    """

    strategies: tuple[Strategy, ...]
    baselines: tuple[Baseline, ...]
    compiled: bool = False

    @classmethod
    def of(cls, settings: Settings, quantity: Quantity = "jacobian") -> Roster:
        """Look everybody up who computes a quantity.

        Raises:
            ArgumentError: A name that is excluded is neither's, or none of the
                strategies that are asked for computes it.
        """
        registry = known_strategies()
        libraries = {baseline.name: baseline for baseline in BASELINES}
        known = {*libraries, *(name for q in PARTS for name in registry.names(q))}
        for name in settings.exclude:
            if name not in known:
                raise ArgumentError(
                    f"There is no strategy or library {name!r} to exclude."
                    f"{nearest(name, known)} 'jacengine strategies' lists them."
                )
        ours = [name for name in settings.exclude if name not in libraries]
        asked = settings.strategies
        if asked is not None:
            asked = tuple(n for n in asked if quantity in registry.get(n).quantities)
            if not asked:
                raise ArgumentError(
                    f"No strategy that was asked for computes a {TITLES[quantity]}. "
                    f"There are: {', '.join(registry.names(quantity))}."
                )
        return cls(
            tuple(registry.choose(asked, ours, quantity)),
            tuple(
                baseline
                for name, baseline in libraries.items()
                if settings.peers
                and name not in settings.exclude
                and quantity in baseline.quantities
            ),
            settings.compiled,
        )
