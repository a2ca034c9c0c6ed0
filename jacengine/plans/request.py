"""What a plan is made for: a call, its options, and how a method is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from jacengine.errors import ArgumentError
from jacengine.interface import Composition
from jacengine.problem.problem import Options
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Effort


@dataclass(frozen=True)
class PlanRequest:
    """A call to plan.

    Attributes:
        fn: The function or module.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: The options that decide what the result is.
        compositions: The strategies and gradients to consider.
        memory_budget: Bytes that a call may allocate.
        effort: How much may be spent on the choice.
        compiled: Whether the fastest methods are tried compiled too.

    Raises:
        ArgumentError: `effort` is not known.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Options
    compositions: Sequence[Composition]
    memory_budget: Budget = None
    effort: Effort = "quick"
    compiled: bool = False

    def __post_init__(self) -> None:
        """Check the effort."""
        if self.effort not in get_args(Effort):
            known = ", ".join(map(repr, get_args(Effort)))
            raise ArgumentError(f"effort={self.effort!r}: expected one of {known}.")
