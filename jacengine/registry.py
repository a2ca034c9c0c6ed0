"""Strategies by name."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from jacengine.errors import ArgumentError, DuplicateStrategyError, UnknownStrategyError
from jacengine.errors import nearest as nearest_name
from jacengine.interface import (
    Contraction,
    Curvature,
    Pullback,
    Pushforward,
    Strategy,
)
from jacengine.nested import nested
from jacengine.problem.quantity import PARTS, Quantity

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
        """Add a strategy, and the second-order methods that it makes.

        Raises:
            ArgumentError: It is not a strategy, or its name is not
                `[a-z][a-z0-9_]*`.
            DuplicateStrategyError: The name is taken.
        """
        kinds = Pushforward | Pullback | Contraction | Curvature
        if not isinstance(strategy, kinds):
            raise ArgumentError(
                f"register() got {strategy!r}; expected an instance of a subclass of "
                "Pushforward, Pullback, Contraction or Curvature."
            )
        name: object = strategy.name
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ArgumentError(
                f"The strategy name {name!r} is not of the form [a-z][a-z0-9_]*."
            )
        made = {name: strategy, **{s.name: s for s in nested(strategy)}}
        taken = next((known for known in made if known in self._by_name), None)
        if taken is not None:
            raise DuplicateStrategyError(
                f"A strategy named {taken!r} is registered already "
                f"({type(self._by_name[taken]).__qualname__}); choose another name."
            )
        self._by_name |= made

    def get(self, name: str, quantity: Quantity | None = None) -> Strategy:
        """Look a strategy up.

        Args:
            name: Its name.
            quantity: What it must compute; `None` for anything.

        Raises:
            UnknownStrategyError: There is none; the message offers the nearest name.
            ArgumentError: It computes something else.
        """
        known = self.names(quantity or "jacobian")
        if name not in self._by_name:
            raise UnknownStrategyError(
                f"Unknown strategy {name!r}.{nearest_name(str(name), known)} "
                f"Available: {', '.join(sorted(known))}."
            )
        strategy = self._by_name[name]
        if quantity is not None and quantity not in strategy.quantities:
            raise ArgumentError(
                f"{name} computes {' or '.join(sorted(strategy.quantities))}, not "
                f"{quantity}. For that there are: {', '.join(known)}."
            )
        return strategy

    def choose(
        self,
        names: Iterable[str] | None,
        exclude: Iterable[str],
        quantity: Quantity = "jacobian",
    ) -> list[Strategy]:
        """List strategies: those named, or all of a quantity, less those excluded.

        Raises:
            UnknownStrategyError: A name is not known.
            ArgumentError: A strategy computes something else, or nothing is left.
        """
        if isinstance(names, str) or isinstance(exclude, str):
            raise ArgumentError("strategies= and exclude= take lists of names.")
        dropped = {self.get(name).name for name in exclude}
        if names is None:
            wanted = list(self.names(quantity))
        else:
            wanted = [self.get(name, quantity).name for name in names]
        left = [self._by_name[n] for n in dict.fromkeys(wanted) if n not in dropped]
        if not left:
            raise ArgumentError("strategies= and exclude= leave no strategy to choose.")
        return left

    def names(self, quantity: Quantity = "jacobian") -> tuple[str, ...]:
        """List the names of those that compute a quantity, as registered.

        Raises:
            ArgumentError: There is no such quantity.
        """
        if quantity not in PARTS:
            raise ArgumentError(
                f"quantity={quantity!r}: expected one of {', '.join(map(repr, PARTS))}."
            )
        return tuple(n for n, s in self._by_name.items() if quantity in s.quantities)


class PluginLoader:
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
