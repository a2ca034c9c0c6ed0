"""Selection quality: the choice of `auto` against an exhaustive search."""

from __future__ import annotations

import functools
import statistics
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from jacengine.api.strategies import known_strategies
from jacengine.bench.comparison import OWN, Run, interleave
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.errors import MemoryBudgetError
from jacengine.execution.sweep import Sweep
from jacengine.peak_memory import peak_memory
from jacengine.plans.plan import Plan
from jacengine.plans.planning import make_plan
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Options
from jacengine.selection.effort import Effort

pytestmark = [
    pytest.mark.benchmark(disable_gc=True),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
REPEATS = 5
"""Selections whose choices are compared."""
RETIMED = 2.0
"""Candidates of the exhaustive search within this factor of its best run again."""
PLAN_CALL = "plan(x)"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_selection(benchmark: BenchmarkFixture, workload: Workload) -> None:
    """Time the chosen candidate, interleaved with the best of an exhaustive search."""
    spec = workload.build(workload.sizes[0])
    plans = [_plan(spec, "quick") for _ in range(REPEATS)]
    choices = [f"{plan.strategy}/{plan.chosen.chunk_size}" for plan in plans]
    quick, exhaustive = plans[0], _plan(spec, "thorough")
    call = quick.problem.bind(quick.callee, list(spec.args))
    assert quick.chosen.method is not None
    chosen = Sweep(quick.problem, quick.chosen.method)
    with peak_memory(quick.problem.outputs[0].device) as peak:
        chosen.run(call)
    over_budget, budgets = _budgets(spec, exhaustive)
    others = {PLAN_CALL: Run(lambda: quick(*spec.args))}
    fastest = exhaustive.selection.ranked[0].time_s or 0.0
    for result in exhaustive.selection.ranked:
        name = f"{result.strategy}/{result.chunk_size}"
        slow = (result.time_s or 0.0) > RETIMED * fastest
        if result.method and not slow and name != choices[0]:
            sweep = Sweep(exhaustive.problem, result.method)
            others.setdefault(name, Run(functools.partial(sweep.run, call)))
    benchmark.group = "selection"
    medians = interleave(benchmark, Run(functools.partial(chosen.run, call)), others)
    predicted = quick.chosen.predicted_bytes or 0
    figures: dict[str, Any] = {
        "workload": workload.name,
        "choice": choices[0],
        "selection_s": statistics.median(plan.selection.cost_s for plan in plans),
        "prediction_error": predicted / peak.bytes - 1,
        "over_budget": over_budget,
        "budgets": budgets,
        "same_choice": max(choices.count(choice) for choice in choices),
        "repeats": REPEATS,
    }
    if medians:
        plan_s, chosen_s = medians.pop(PLAN_CALL), medians.pop(OWN)
        times = {**medians, choices[0]: chosen_s}
        best = min(times, key=lambda name: times[name])
        figures |= {
            "best": best,
            "best_s": times[best],
            "regret": chosen_s / times[best],
            "allowed_s": max(0.3, 12 * times[best]),
            "overhead_s": plan_s - chosen_s,
        }
    benchmark.extra_info["selection"] = figures


def _plan(
    spec: DerivativeSpec, effort: Effort, memory_budget: int | None = None
) -> Plan:
    compositions = known_strategies().choose(None, (), spec.quantity)
    options = Options(**spec.options)
    request = PlanRequest(
        spec.fn, spec.args, {}, options, compositions, memory_budget, effort
    )
    return make_plan(request, use_cache=False)


def _budgets(spec: DerivativeSpec, exhaustive: Plan) -> tuple[int, int]:
    """Make plans under shrinking budgets; count those whose peak exceeded theirs.

    The budgets go from the bytes of the best candidate down to the bare result.
    """
    result = exhaustive.problem.result_bytes
    needed = exhaustive.chosen.predicted_bytes or result
    temporary = max(needed - result, result // 8)
    exceeded, tried = 0, 0
    for factor in (1.1, 0.5, 0.2, 0.1, 0.05):
        budget = int(result + factor * temporary)
        try:
            plan = _plan(spec, "quick", budget)
        except MemoryBudgetError:
            break
        tried += 1
        with peak_memory(plan.problem.outputs[0].device) as peak:
            plan(*spec.args)
        exceeded += peak.bytes > budget
    return exceeded, tried
