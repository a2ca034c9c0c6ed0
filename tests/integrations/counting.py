"""A function that counts its calls."""

from collections.abc import Callable
from typing import Any


class Calls:
    """A function, and how often it was called."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn, self.count = fn, 0

    def __call__(self, *args: Any) -> Any:
        self.count += 1
        return self.fn(*args)
