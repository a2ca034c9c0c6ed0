"""The options of `jacengine.plan` that callbacks take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from jacengine.errors import ArgumentError, nearest
from jacengine.selection.budget import Budget
from jacengine.selection.effort import Compiled, Effort


class PlanOptions(TypedDict, total=False):
    """Options of `jacengine.plan` that suit derivatives of every order."""

    calls: int | None
    compiled: Compiled
    effort: Effort
    memory_budget: Budget
    verify: bool


class JacobianOptions(PlanOptions, total=False):
    """Those, and the ones that belong to one Jacobian."""

    exclude: Iterable[str]
    sparsity: Any
    strategies: Iterable[str] | None


class OperatorOptions(TypedDict, total=False):
    """Options of `jacengine.operator`."""

    exclude: Iterable[str]
    strategies: Iterable[str] | None


def check_options(options: Mapping[str, Any], known: type) -> None:
    """Refuse options that are not known.

    Raises:
        ArgumentError: There is one.
    """
    names = sorted(known.__annotations__)
    for name in options:
        if name not in names:
            raise ArgumentError(
                f"{name}= is no option here.{nearest(name, names)} There are: "
                f"{', '.join(names)}."
            )
