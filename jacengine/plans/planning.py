"""Making plans: from the process cache, from the disk cache, or by a selection."""

from __future__ import annotations

import itertools
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from jacengine._locks import SELECTION_LOCK, TORCH_GLOBAL_LOCK
from jacengine._progress import Report, stage
from jacengine.errors import (
    MemoryBudgetError,
    NoStrategyError,
    PatternError,
    PlanMismatchError,
)
from jacengine.patterns.pattern import Pattern
from jacengine.plans import disk_cache
from jacengine.plans.analysis import analyze_request
from jacengine.plans.blockwise import BlockwiseJacobian
from jacengine.plans.cache_key import key_of
from jacengine.plans.cached_plan import CachedPlan
from jacengine.plans.compute import answer
from jacengine.plans.plan import Plan
from jacengine.plans.process_cache import CAPACITY, ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.plans.restore import restore_verified
from jacengine.plans.sparse import refuse_small_pattern, with_pattern
from jacengine.problem.callee import NO_CALLEE
from jacengine.problem.nesting import is_nested
from jacengine.problem.problem import SPARSE, Problem
from jacengine.problem.signature import Signature
from jacengine.results.result import Result
from jacengine.selection.budget import Budget, format_bytes, to_bytes
from jacengine.selection.explain import as_text
from jacengine.selection.finite_differences import warn_of
from jacengine.selection.first_choice import choose_first
from jacengine.selection.repeatability import refuse_unrepeatable
from jacengine.selection.select import BUSY, RACE, Selection, load_of_a_core, select

LITTLE = 2**24
"""Bytes that are taken to be free without a look, which takes a millisecond."""
LOOKING_S = 1.0
"""What finding a sparsity pattern may take, TorchDynamo's import included: the first
call does not look for one where J takes less."""
_PLANS = ProcessCache[CachedPlan](lambda cached: cached.plan.problem)
_SELECTIONS: OrderedDict[str, Selection] = OrderedDict()
"""Selections of this process, by key: for models and closures with the same code."""


def compute(request: PlanRequest, out: Any = None) -> Any:
    """Compute what is requested: plan, cache the plan, run it.

    If the whole exceeds the budget, a preallocated `out` is filled in blocks.

    Raises:
        MemoryBudgetError: The result, or every right method, exceeds the budget.
        PatternError: J has a nonzero outside of the pattern that the user gave.
        JacengineError: See `jacengine.errors`.
    """
    options = request.options
    try:
        cached, found = _cached(request)
    except MemoryBudgetError:
        whole = options.rows is None and options.columns is None
        besides = options.has_aux or options.with_value
        if out is None or besides or not whole:
            raise
        BlockwiseJacobian(request, cached_plan).fill(out)
        return out
    plan = cached.plan
    if found is not None and out is None and not options.create_graph:
        bound = plan.problem.bind(request.callee, request.leaves)
        return answer(plan.problem, bound, found)
    if out is None:
        done = plan.run_guarded(request.fn, request.args, request.kwargs)
        if done is not None:
            return done
    started = time.perf_counter()
    try:
        return plan.compute(request.callee, request.leaves, out=out)
    except PlanMismatchError:  # outputs whose shape depends on values
        plan = make_plan(request)
    except PatternError as error:
        if isinstance(options.sparsity, Pattern):
            raise
        plan = _plan_anew(request, plan.problem, error)
        cached.replace(plan.of(NO_CALLEE))
    finally:
        cached.spend(time.perf_counter() - started)
    return plan.compute(request.callee, request.leaves, out=out)


def _plan_anew(request: PlanRequest, problem: Problem, error: PatternError) -> Plan:
    """Plan again where the pattern of a plan has turned out too small.

    What was asked to be sparse has the pattern found anew, in addition to the known
    one; else the Jacobian is computed without one from now on.
    """
    options = request.options
    asked = options.sparsity == "detect" or options.layout in SPARSE
    then = "found anew" if asked else "not used for this function any more"
    warnings.warn(f"jacengine: {error} The pattern is {then}.", stacklevel=4)
    if not asked:
        options = replace(options, sparsity=None)
    return make_plan(
        replace(request, options=options),
        use_cache=False,
        known=problem.pattern,
    )


def first_plan(request: PlanRequest) -> Plan:
    """Make a plan by what one call pays for, as the first call of `auto` does.

    Raises:
        JacengineError: As `compute`.
    """
    return _make(request, raced=_races_at_once(request))[0]


def cached_plan(request: PlanRequest) -> Plan:
    """Return the plan that was raced for such a function and signature, or race."""
    slot = _PLANS.slot(request)
    cached = slot.value
    if cached is None or not _fits(cached.plan, request.memory_budget):
        cached = CachedPlan(make_plan(request).of(NO_CALLEE))
        slot.keep(cached)
    elif not cached.plan.selection.raced:
        cached.replace(make_plan(request).of(NO_CALLEE))
    return cached.plan.of(request.callee)


def _cached(request: PlanRequest) -> tuple[CachedPlan, Result | None]:
    """Return the plan for calls of such a function, and the Jacobian if it is new.

    What the first call chooses is raced when calls have paid for that.
    """
    slot, found = _PLANS.slot(request), None
    cached = slot.value
    if cached is None or not _fits(cached.plan, request.memory_budget):
        plan, found = _make(request, raced=_races_at_once(request))
        cached = CachedPlan(plan.of(NO_CALLEE), request.calls)
        slot.keep(cached)
    if cached.pays:
        cached.replace(make_plan(request).of(NO_CALLEE))
        found = None
    return cached, found


def _races_at_once(request: PlanRequest) -> bool:
    """Tell whether the first call is raced, as all is that is compiled at once."""
    return request.effort != "quick" or request.compiled is True


def make_plan(
    request: PlanRequest,
    *,
    use_cache: bool = True,
    known: Pattern | None = None,
) -> Plan:
    """Analyze a call, choose a method by a race, and bind the choice to the signature.

    With `use_cache`, a choice may come from what was measured before, in this process
    or on disk, for objects with the same code. What was measured while other work ran
    is measured again once the machine is quiet. Nonzeros that are `known` are added to
    the pattern that is found.

    Raises:
        JacengineError: As `compute`.
        RandomnessError: A method that is right once is not so again, because the
            function differs from call to call.
    """
    return _make(request, use_cache=use_cache, known=known)[0]


def _make(
    request: PlanRequest,
    *,
    use_cache: bool = True,
    known: Pattern | None = None,
    raced: bool = True,
) -> tuple[Plan, Result | None]:
    """Make a plan as `make_plan`, or by what one call pays for, unless `raced`.

    Returns:
        The plan, and the Jacobian, if that was computed on the way.

    Raises:
        MemoryBudgetError: The result, or every right method, exceeds the budget.
        NoStrategyError: No candidate computes it.
        PatternError: J has a nonzero outside of the pattern that the user gave.
        RandomnessError: That is because the function differs from call to call.
    """
    with stage("selection", len(request.compositions)) as report:
        return _choose(request, report, use_cache=use_cache, known=known, raced=raced)


def _choose(
    request: PlanRequest,
    report: Report,
    *,
    use_cache: bool,
    known: Pattern | None,
    raced: bool,
) -> tuple[Plan, Result | None]:
    """Analyze a call, and choose a method: see `_make`."""
    callee, args, kwargs = request.callee, request.args, request.kwargs
    worth_s = 0.0 if raced else LOOKING_S
    problem = with_pattern(analyze_request(request), request, known, worth_s=worth_s)
    budget = to_bytes(request.memory_budget, problem.outputs[0].device)
    if problem.result_bytes > budget:
        raise MemoryBudgetError(
            f"The {problem.title} itself has {format_bytes(problem.result_bytes)}, and "
            f"the budget is {format_bytes(budget)}. Iterate over its blocks with "
            "jacengine.blocks(...), let auto write it into out= (which may be on disk),"
            " choose rows= or columns=, or raise memory_budget."
        )
    signature = Signature.of(callee, args, kwargs, problem.call_spec.names)
    key = key_of(request, signature)
    # Without timing the choice is the same everywhere, whatever others have measured.
    keeps = use_cache and request.effort != "none"
    saved = _known(key, request, raced=raced) if keeps else None
    if saved is not None:
        restored = restore_verified(problem, callee, request.leaves, saved, budget)
        if restored is not None:
            _warn(restored, problem)
            return _bound(problem, restored, signature, request), None
    bound, found = problem.bind(callee, request.leaves), None
    with _alone(problem):
        if raced:
            selection = select(
                problem,
                bound,
                request.compositions,
                budget=budget,
                effort=request.effort,
                compiled=request.compiled is True,
                announce=_counted(report),
            )
        else:
            selection, found = choose_first(
                problem, bound, request.compositions, budget=budget
            )
    refuse_small_pattern(problem, bound, selection)
    if not selection.ranked:
        refuse_unrepeatable(problem, bound)
        _raise_no_method(problem, selection, budget)
    _warn(selection, problem)
    _SELECTIONS[key] = selection.without_sweeps()
    while len(_SELECTIONS) > CAPACITY:
        _SELECTIONS.popitem(last=False)
    if keeps and raced:
        disk_cache.keep(key, selection)
    return _bound(problem, selection, signature, request), found


def _counted(report: Report) -> Callable[[str], object]:
    """Return what reports the name of each method before it is tried."""
    number = itertools.count()
    return lambda name: report(next(number), "" if name == RACE else name)


def _warn(selection: Selection, problem: Problem) -> None:
    warn_of(selection.doubt, problem.title, reached=selection.reached)


def _known(key: str, request: PlanRequest, *, raced: bool) -> Selection | None:
    """Return what was chosen before, unless it has to be chosen again.

    What was measured while other work ran is, once the machine is quiet.
    """
    find: tuple[Callable[[], Selection | None], ...] = (
        lambda: _SELECTIONS.get(key),
        lambda: disk_cache.find(key, request.compositions),
    )
    for look in find:
        saved = look()
        if saved is None or (raced and not saved.raced):
            continue
        if not saved.unstable or load_of_a_core() > BUSY:
            return saved
    return None


def _bound(
    problem: Problem, selection: Selection, signature: Signature, request: PlanRequest
) -> Plan:
    return Plan(
        problem,
        selection,
        signature,
        request.compositions,
        request.callee,
        compiled=request.compiled,
        calls=request.calls,
    )


@contextmanager
def _alone(problem: Problem) -> Generator[None]:
    """Let one selection run at a time: two would disturb each other's times.

    Other threads' calls go on meanwhile, if the function changes no state of its own.
    One inside of an evaluation does not wait: that may hold what the other waits for.
    """
    with ExitStack() as stack:
        if not is_nested():
            stack.enter_context(SELECTION_LOCK)
        if problem.changes_state:
            stack.enter_context(TORCH_GLOBAL_LOCK)
        yield


def _fits(plan: Plan, memory_budget: Budget) -> bool:
    """Tell whether a plan that was made earlier fits the memory that is free now."""
    needed = plan.chosen.peak_bytes or plan.chosen.predicted_bytes or 0
    if needed <= LITTLE and memory_budget is None:
        return True
    return needed <= to_bytes(memory_budget, plan.problem.outputs[0].device)


def _raise_no_method(problem: Problem, selection: Selection, budget: int) -> NoReturn:
    table = as_text(problem, selection)
    if any(result.outcome == "over_budget" for result in selection.candidates):
        raise MemoryBudgetError(
            f"No method fits into {format_bytes(budget)}. Raise memory_budget, or use "
            f"a smaller batch:\n{table}"
        )
    raise NoStrategyError(f"No strategy computes this {problem.title}:\n{table}")
