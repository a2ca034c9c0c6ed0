"""A function that counts its calls."""

import itertools
from collections.abc import Callable
from typing import Any


class Calls:
    """A function, and how often it was called."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self._numbers = itertools.count()

    def __call__(self, *args: Any) -> Any:
        next(self._numbers)
        return self.fn(*args)

    @property
    def count(self) -> int:
        """The number of calls; a plan would put an attribute back."""
        return int(repr(self._numbers)[len("count(") : -1])
