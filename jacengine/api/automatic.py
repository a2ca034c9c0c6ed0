"""What `auto`, `hessian`, `laplacian` and the like do: plan, remember, compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import ArgumentError, MemoryBudgetError
from jacengine.plans.blockwise import BlockwiseJacobian
from jacengine.plans.planning import cached_plan
from jacengine.problem.problem import Options
from jacengine.selection.budget import Budget
from jacengine.selection.select import Effort


def compute_automatically(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    options: Options,
    *,
    memory_budget: Budget,
    effort: Effort,
    strategies: Iterable[str] | None,
    exclude: Iterable[str],
    out: Any,
) -> Any:
    """Compute what the options ask for by the fastest method that is right and fits.

    Raises:
        MemoryBudgetError: The result, or every right method, exceeds the budget.
        JacengineError: See `jacengine.errors`.
    """
    check_effort(effort)
    candidates = known_strategies().choose(strategies, exclude, options.quantity)
    given = kwargs or {}
    try:
        found = cached_plan(
            fn,
            args,
            given,
            options,
            candidates,
            memory_budget=memory_budget,
            effort=effort,
        )
    except MemoryBudgetError:
        whole = options.rows is None and options.columns is None
        if out is None or options.has_aux or not whole:
            raise
        cutter = BlockwiseJacobian(
            fn,
            args,
            given,
            options,
            candidates,
            memory_budget=memory_budget,
            effort=effort,
        )
        cutter.fill(out)
        return out
    return found(*args, kwargs=given, out=out)


def check_effort(effort: object) -> None:
    """Refuse an effort that is not known.

    Raises:
        ArgumentError: It is none of those there are.
    """
    if effort not in get_args(Effort):
        raise ArgumentError(
            f"effort={effort!r}: expected one of "
            f"{', '.join(map(repr, get_args(Effort)))}."
        )
