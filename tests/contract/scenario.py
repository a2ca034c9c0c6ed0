"""What one contract check is made of: a call, and what it must return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One call: `jacobian(fn, *args, kwargs=kwargs, **options)`.

    Attributes:
        fn: The function or module to differentiate.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: What is asked for: `wrt`, `batch_dim`, `rows`, `columns`, `has_aux`,
            `randomness`. What is not named has its default.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Scenario:
    """A named case that every strategy either gets right or declines.

    Attributes:
        name: Unique, made of `[a-z0-9_]`, starting with a letter.
        build: Makes the case anew, with equal values each time.
        tags: What the case is about. `float16`, `bfloat16`, `float32` name a dtype
            other than float64; `stop_gradient` marks a derivative that is not the
            limit of differences; `coupled` a batch whose samples see each other;
            `random` a function that draws random numbers.
        reference: The closed form of the result, where one exists; `None` stands for
            the plain loop in `reference.py`.
        unsupported: For each strategy that declines the case, a pattern that its
            reason must match.
        tolerance: Largest error, relative to the largest entry of the result.
    """

    name: str
    build: Callable[[], Case]
    tags: frozenset[str]
    reference: Callable[[Case], Any] | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict[str, str])
    tolerance: float = 1e-9
