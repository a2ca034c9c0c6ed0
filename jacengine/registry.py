"""Strategies by name."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from jacengine.errors import ArgumentError, DuplicateStrategyError, UnknownStrategyError
from jacengine.errors import nearest as nearest_name
from jacengine.interface import Contraction, Pullback, Pushforward, Strategy

ENTRY_POINTS = "jacengine.strategies"
"""The entry-point group that third parties publish strategies in: each entry loads to a
`Strategy` instance, or to a class or function that makes one without arguments."""


class Registry:
    """A set of strategies with distinct names, in the order they were registered."""

    def __init__(self, strategies: Iterable[Strategy] = ()) -> None:
        """Begin with these strategies."""
        self._by_name: dict[str, Strategy] = {}
        for strategy in strategies:
            self.register(strategy)

    def register(self, strategy: Strategy) -> None:
        """Add a strategy.

        Raises:
            ArgumentError: It is not a strategy, or its name is not
                `[a-z][a-z0-9_]*`.
            DuplicateStrategyError: The name is taken.
        """
        if not isinstance(strategy, Pushforward | Pullback | Contraction):
            raise ArgumentError(
                f"register() got {strategy!r}; expected an instance of a subclass of "
                "Pushforward, Pullback or Contraction."
            )
        name: object = strategy.name
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ArgumentError(
                f"The strategy name {name!r} is not of the form [a-z][a-z0-9_]*."
            )
        if name in self._by_name:
            raise DuplicateStrategyError(
                f"A strategy named {name!r} is registered already "
                f"({type(self._by_name[name]).__qualname__}); choose another name."
            )
        self._by_name[name] = strategy

    def get(self, name: str) -> Strategy:
        """Look a strategy up.

        Raises:
            UnknownStrategyError: There is none; the message offers the nearest name.
        """
        if name not in self._by_name:
            raise UnknownStrategyError(
                f"Unknown strategy {name!r}.{nearest_name(str(name), self._by_name)} "
                f"Available: {', '.join(sorted(self._by_name))}."
            )
        return self._by_name[name]

    def choose(
        self, names: Iterable[str] | None, exclude: Iterable[str]
    ) -> list[Strategy]:
        """List strategies: those named, or all, less those excluded.

        Raises:
            UnknownStrategyError: A name is not known.
            ArgumentError: Nothing is left.
        """
        if isinstance(names, str) or isinstance(exclude, str):
            raise ArgumentError("strategies= and exclude= take lists of names.")
        dropped = {self.get(name).name for name in exclude}
        wanted = (
            list(self._by_name) if names is None else [self.get(n).name for n in names]
        )
        left = [self._by_name[n] for n in dict.fromkeys(wanted) if n not in dropped]
        if not left:
            raise ArgumentError("strategies= and exclude= leave no strategy to choose.")
        return left

    def names(self) -> tuple[str, ...]:
        """List the names, in order of registration."""
        return tuple(self._by_name)


class Published:
    """Loads the strategies of other distributions, once, on first use."""

    def __init__(self, registry: Registry) -> None:
        """Load into this registry."""
        self._registry = registry
        self._lock = threading.Lock()
        self._loaded = False
        self.broken: dict[str, str] = {}

    def load(self) -> None:
        """Load every entry point; a broken one warns once and is left out."""
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            for point in entry_points(group=ENTRY_POINTS):
                try:
                    found: Strategy | Callable[[], Strategy] = point.load()
                    made = found if isinstance(found, Strategy) else found()
                    self._registry.register(made)
                except Exception as error:
                    self.broken[point.name] = f"{type(error).__name__}: {error}"
                    warnings.warn(
                        f"jacengine: the strategy plug-in {point.name!r} cannot be "
                        f"loaded and is left out ({self.broken[point.name]}).",
                        stacklevel=3,
                    )
