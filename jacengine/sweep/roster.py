"""Who takes part in a sweep, by name."""

from __future__ import annotations

from dataclasses import dataclass

from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.defaults import known_strategies
from jacengine.errors import ArgumentError, nearest
from jacengine.interface import Strategy
from jacengine.sweep.trial import Settings


@dataclass(frozen=True)
class Roster:
    """Strategies and libraries.

    Attributes:
        strategies: The candidates of `auto`, each measured by itself too.
        baselines: Other libraries.
    """

    strategies: tuple[Strategy, ...]
    baselines: tuple[Baseline, ...]

    @classmethod
    def of(cls, settings: Settings) -> Roster:
        """Look everybody up.

        Raises:
            ArgumentError: A name that is excluded is neither's.
        """
        registry = known_strategies()
        libraries = {baseline.name: baseline for baseline in BASELINES}
        known = {*registry.names(), *libraries}
        for name in settings.exclude:
            if name not in known:
                raise ArgumentError(
                    f"There is no strategy or library {name!r} to exclude."
                    f"{nearest(name, known)} 'jacengine strategies' lists them."
                )
        ours = [name for name in settings.exclude if name not in libraries]
        return cls(
            tuple(registry.choose(settings.strategies, ours)),
            tuple(
                baseline
                for name, baseline in libraries.items()
                if settings.peers and name not in settings.exclude
            ),
        )
