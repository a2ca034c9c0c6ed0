"""Strategies by name, and what they compose to."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from jacengine._locks import lock
from jacengine.errors import (
    ArgumentError,
    DuplicateStrategyError,
    UnknownStrategyError,
    nearest,
    unknown_choice,
)
from jacengine.interface import Capabilities, Composition, Strategy, compositions
from jacengine.problem.quantity import PARTS, Quantity

ENTRY_POINTS = "jacengine.strategies"
"""The entry-point group that third parties publish strategies in: each entry loads to a
`Strategy` instance, or to a class or function that makes one without arguments."""


class Registry:
    """Compositions with distinct names, in the order of registration."""

    def __init__(self, strategies: Iterable[Strategy] = ()) -> None:
        """Register these strategies."""
        self._by_name: dict[str, Composition] = {}
        self._of_quantity: dict[str, tuple[Composition, ...]] = {}
        for strategy in strategies:
            self.register(strategy)

    def register(self, strategy: Strategy) -> None:
        """Add a strategy and its compositions with gradients.

        Raises:
            ArgumentError: It is not a strategy, has no capabilities, or its name is
                not `[a-z][a-z0-9_]*`.
            DuplicateStrategyError: The name is taken.
        """
        if not isinstance(strategy, Strategy):
            raise ArgumentError(
                f"register() got {strategy!r}; expected an instance of a subclass of "
                "jacengine.Strategy."
            )
        if not isinstance(getattr(strategy, "capabilities", None), Capabilities):
            raise ArgumentError(
                f"{type(strategy).__qualname__} has no capabilities; expected a class "
                "attribute such as capabilities = jacengine.Capabilities(mode='jvp')."
            )
        name: object = getattr(strategy, "name", None)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ArgumentError(
                f"The strategy name {name!r} is not of the form [a-z][a-z0-9_]*."
            )
        added = {composed.name: composed for composed in compositions(strategy)}
        taken = next((known for known in added if known in self._by_name), None)
        if taken is not None:
            owner = type(self._by_name[taken].strategy).__qualname__
            raise DuplicateStrategyError(
                f"A strategy named {taken!r} is registered already ({owner}); choose "
                "another name."
            )
        self._by_name |= added
        self._of_quantity.clear()

    def get(self, name: str, quantity: Quantity | None = None) -> Composition:
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
                f"Unknown strategy {name!r}.{nearest(str(name), known)} "
                f"Available: {', '.join(sorted(known))}."
            )
        found = self._by_name[name]
        if quantity is not None and quantity not in found.quantities:
            raise ArgumentError(
                f"{name} computes {' or '.join(sorted(found.quantities))}, not "
                f"{quantity}. For that there are: {', '.join(known)}."
            )
        return found

    def choose(
        self,
        names: Iterable[str] | None,
        exclude: Iterable[str],
        quantity: Quantity = "jacobian",
    ) -> tuple[Composition, ...]:
        """List those named, or all that compute a quantity, less those excluded.

        Raises:
            UnknownStrategyError: A name is not known.
            ArgumentError: A strategy computes something else, or none is left.
        """
        if names is None and exclude == () and quantity in self._of_quantity:
            return self._of_quantity[quantity]
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
        if names is None and not dropped:
            self._of_quantity[quantity] = tuple(left)
        return tuple(left)

    def names(self, quantity: Quantity = "jacobian") -> tuple[str, ...]:
        """List the names of those that compute a quantity, in order of registration.

        Raises:
            ArgumentError: There is no such quantity.
        """
        if quantity not in PARTS:
            raise ArgumentError(unknown_choice("quantity", quantity, PARTS))
        return tuple(n for n, c in self._by_name.items() if quantity in c.quantities)


class PluginLoader:
    """Loads the strategies of other distributions, once, at first use."""

    def __init__(self, registry: Registry) -> None:
        """Load into this registry."""
        self._registry = registry
        self._lock = lock()
        self._loaded = False
        self.broken: dict[str, str] = {}

    def load(self) -> None:
        """Load every entry point; a broken one is left out, with a warning."""
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
