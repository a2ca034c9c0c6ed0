"""What a plan is made for: a call, its options, and how a method is chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from jacengine import pytrees
from jacengine.errors import ArgumentError, nearest, unknown_choice
from jacengine.interface import Composition
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Options
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort


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
        compiled: Whether the fastest methods are tried compiled too; `"auto"`: when
            calls have paid for that.
        calls: How many calls there will be, if the user knows.

    Raises:
        ArgumentError: `effort` is not known, or `calls` is no positive number.
    """

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Options
    compositions: Sequence[Composition]
    memory_budget: Budget = None
    effort: Effort = "quick"
    compiled: Compiled = False
    calls: int | None = None

    @functools.cached_property
    def _flat(self) -> tuple[list[Any], pytrees.Structure]:
        return pytrees.flatten_call(self.args, self.kwargs)

    @property
    def leaves(self) -> list[Any]:
        """The flattened arguments."""
        return self._flat[0]

    @property
    def structure(self) -> pytrees.Structure:
        """How the arguments nest."""
        return self._flat[1]

    @property
    def strategies(self) -> tuple[str, ...]:
        """The names of the strategies to consider."""
        return tuple([composition.name for composition in self.compositions])

    @functools.cached_property
    def callee(self) -> Callee:
        """The function, with what it can be seen to use."""
        return Callee(self.fn, self.leaves)

    def __post_init__(self) -> None:
        """Check what may be spent."""
        if self.compiled not in {True, False, "auto"}:
            raise ArgumentError(
                f"compiled={self.compiled!r}: expected True, False or 'auto'."
                f"{nearest(str(self.compiled), ['auto'])}"
            )
        if self.effort not in get_args(Effort):
            raise ArgumentError(unknown_choice("effort", self.effort, get_args(Effort)))
        calls = self.calls
        if calls is not None and (type(calls) is not int or calls < 1):
            raise ArgumentError(
                f"calls={calls!r}: expected a positive number of calls, or None."
            )
