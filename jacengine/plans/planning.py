"""Making plans: remembered, from the cache on disk, or by a selection."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._version import __version__
from jacengine.errors import JacengineError, MemoryBudgetError, NoStrategyError
from jacengine.execution.sweep import Sweep, prepared
from jacengine.interface import Strategy
from jacengine.plans import disk_cache
from jacengine.plans.cache_key import key_of
from jacengine.plans.plan import Plan
from jacengine.plans.process_cache import CAPACITY, ProcessCache
from jacengine.plans.serialization import describe_options
from jacengine.problem.analyze import analyze
from jacengine.problem.problem import Options, Problem
from jacengine.problem.signature import Signature
from jacengine.selection.budget import Budget, format_bytes, to_bytes
from jacengine.selection.compiled_variants import with_compiled
from jacengine.selection.diagonal_reference import FEW
from jacengine.selection.explain import as_text
from jacengine.selection.reference import Reference
from jacengine.selection.select import Effort, Selection, select
from jacengine.selection.verify import verify

_REMEMBERED = ProcessCache()
_CHOICES: OrderedDict[str, Selection] = OrderedDict()
"""What was chosen in this process, by key: a closure written inside a loop is a new
object each time, and known by its code."""


def cached_plan(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    strategies: Sequence[Strategy],
    *,
    memory_budget: Budget,
    effort: Effort,
) -> Plan:
    """Return the plan that was made for this function and signature, or make one."""
    signature = Signature.of(fn, args, kwargs)
    names = tuple(strategy.name for strategy in strategies)
    key = (describe_options(options), names, repr(memory_budget), effort, signature.key)
    found = _REMEMBERED.find(key, fn)
    if found is not None and _fits(found, memory_budget):
        return found
    made = make_plan(
        fn,
        args,
        kwargs,
        options,
        strategies,
        memory_budget=memory_budget,
        effort=effort,
        by_code=True,
    )
    _REMEMBERED.keep(key, made)
    return made


def make_plan(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    strategies: Sequence[Strategy],
    *,
    memory_budget: Budget,
    effort: Effort,
    cached: bool = True,
    by_code: bool = False,
) -> Plan:
    """Examine a call, choose a method, and bind the choice to the signature.

    Args:
        fn: The function or module.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: What is asked for.
        strategies: The candidates.
        memory_budget: Bytes that a call may allocate.
        effort: How much may be spent on the choice.
        cached: Whether a choice from the cache on disk will do.
        by_code: Whether one made for other objects with the same code will do.

    Raises:
        MemoryBudgetError: The result, or every right method, exceeds the budget.
        NoStrategyError: No candidate computes it.
    """
    problem = analyze(fn, args, kwargs, options)
    budget = to_bytes(memory_budget, problem.outputs[0].device)
    if problem.result_bytes > budget:
        raise MemoryBudgetError(
            f"The {problem.title} itself has {format_bytes(problem.result_bytes)}, and "
            f"the budget is {format_bytes(budget)}. Iterate over its pieces with "
            "jacengine.blocks(...), let auto write it into out= (which may lie on disk)"
            ", choose rows= or columns=, or raise memory_budget."
        )
    signature = Signature.of(fn, args, kwargs, problem.layout.names)
    asked = {"effort": effort, "budget": memory_budget, "jacengine": __version__}
    key = key_of(
        fn,
        args,
        kwargs,
        options,
        strategies=strategies,
        signature=signature,
        asked=asked,
    )
    # Without timing the choice is the same everywhere, whatever others have measured.
    keeps = cached and effort != "none"
    saved = _CHOICES.get(key) if by_code and keeps else None
    if saved is None and keeps:
        saved = disk_cache.find(key, strategies)
    if saved is not None:
        revived = restore_verified(problem, args, kwargs, saved, budget)
        if revived is not None:
            return Plan(problem, revived, signature, strategies)
    bound = problem.bind(args, kwargs)
    with (
        TORCH_GLOBAL_LOCK
    ):  # what candidates change of the modules is looked for, and put back
        selection = select(problem, bound, strategies, budget=budget, effort=effort)
    if not selection.ranked:
        _raise_nothing(problem, selection, budget)
    _CHOICES[key] = selection
    while len(_CHOICES) > CAPACITY:
        _CHOICES.popitem(last=False)
    # What was measured on a busy machine is good for now, and not to be believed later.
    if keeps and not selection.unstable:
        disk_cache.keep(key, selection)
    return Plan(problem, selection, signature, strategies)


def compiled_plan(plan: Plan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
    """Return a plan that uses what is compiled, if that is faster."""
    bound = plan.problem.bind(args, kwargs)
    selection = with_compiled(plan.problem, bound, plan.selection)
    return Plan(plan.problem, selection, plan.signature, plan.strategies)


def restore_verified(
    problem: Problem,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    saved: Selection,
    budget: int,
) -> Selection | None:
    """Verify a choice made elsewhere, by one projection.

    Returns:
        The choice, bound to this problem; `None` if it does not hold here.
    """
    record = saved.ranked[0]
    if record.method is None or (record.predicted_bytes or 0) > budget:
        return None
    bound = problem.bind(args, kwargs)
    try:
        timed = saved.effort != "none"
        method = prepared(problem, bound, record.method, timed=timed)
        kernel = Sweep(problem, method)
        blocks = kernel.run(bound, checked=True)
        reference = Reference.of(problem, bound, passes=FEW)
        if not verify(problem, bound, method, reference, blocks).right:
            return None
    except (RuntimeError, MemoryError, JacengineError):
        return None
    passes = method.passes(problem)
    bound = replace(record, method=method, passes=passes, kernel=kernel)
    others = [
        replace(r, passes=None if r.method is None else r.method.passes(problem))
        for r in saved.records
        if r is not record
    ]
    return replace(saved, records=(bound, *others), source="cache")


def _fits(plan: Plan, memory_budget: Budget) -> bool:
    """Whether a plan that was made earlier fits what is free now."""
    needed = plan.chosen.peak_bytes or plan.chosen.predicted_bytes or 0
    return needed <= to_bytes(memory_budget, plan.problem.outputs[0].device)


def _raise_nothing(problem: Problem, selection: Selection, budget: int) -> NoReturn:
    table = as_text(problem, selection)
    if any(record.outcome == "over_budget" for record in selection.records):
        raise MemoryBudgetError(
            f"No method fits into {format_bytes(budget)}. Raise memory_budget, or use "
            f"a smaller batch:\n{table}"
        )
    raise NoStrategyError(f"No strategy computes this {problem.title}:\n{table}")
