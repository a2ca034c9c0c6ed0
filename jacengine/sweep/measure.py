"""The measurement of one case, from its specification to its results."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from jacengine.bench.workload import Workload
from jacengine.errors import JacengineError
from jacengine.report.case import Case
from jacengine.selection.budget import format_bytes, to_bytes
from jacengine.selection.select import select
from jacengine.sweep.candidates import Candidates, find_libraries, find_strategies
from jacengine.sweep.case_problem import CaseProblem
from jacengine.sweep.case_spec import CaseSpec, Crashes, Settings
from jacengine.sweep.limits import LIMITS, MIN_ROUNDS
from jacengine.sweep.run_case import run_case
from jacengine.sweep.system_load import HIGH_LOAD, SystemLoad
from jacengine.timing import warm_up

WIDE_SPREAD = 0.3
"""Interquartile range over median above which times are doubtful."""


def measure(
    spec: CaseSpec,
    workload: Workload,
    settings: Settings,
    *,
    announce: Callable[[str], None] = lambda _: None,
    crashes: Crashes | None = None,
) -> Case:
    """Measure one case.

    Args:
        spec: The case.
        workload: Its workload.
        settings: How to measure it.
        announce: Called with the name of what runs next.
        crashes: Libraries that must not run again.

    Returns:
        The case; an error of the case as a whole is its `failure`.
    """
    case = Case(
        spec.name,
        workload.use,
        workload=workload.name,
        size=spec.size,
        parameter=workload.parameter,
        origin=workload.origin,
        device=spec.device,
        threads=torch.get_num_threads(),
    )
    with warnings.catch_warnings():
        # Of methods that the user did not choose: a slow batching rule, for example.
        warnings.simplefilter("ignore")
        try:
            announce("auto")
            built = CaseProblem.build(spec, workload)
            return _measure(case, built, settings, announce, crashes or {})
        except JacengineError as error:
            return replace(case, failure=str(error).partition("\n")[0])
        except Exception as error:
            return replace(case, failure=f"{type(error).__name__}: {error}")


def _measure(
    case: Case,
    built: CaseProblem,
    settings: Settings,
    announce: Callable[[str], None],
    crashes: Crashes,
) -> Case:
    """Return the case with the properties of its problem, and with its rows."""
    problem = built.problem
    quantity = problem.options.quantity
    budget = to_bytes(settings.memory_budget, built.device)
    case = replace(
        case,
        outputs=problem.output_count,
        inputs=problem.column_count,
        samples=problem.batch_size,
        result_bytes=problem.result_bytes,
        dtype=str(problem.outputs[0].dtype).removeprefix("torch."),
        budget_bytes=None if settings.memory_budget is None else budget,
        quantity=quantity,
    )
    if problem.result_bytes > budget:
        needed, allowed = format_bytes(problem.result_bytes), format_bytes(budget)
        failure = f"the {problem.title} alone needs {needed}; the budget is {allowed}"
        return replace(case, failure=failure)
    strategies = find_strategies(settings, quantity)
    libraries = find_libraries(settings, quantity)
    warm_up()
    load = SystemLoad()
    selection = select(problem, built.bound, strategies, budget=budget, effort="quick")
    rows = run_case(
        Candidates(
            built,
            strategies,
            libraries,
            selection,
            settings.compiled,
            announce,
            crashes,
        ),
        built.reference,
        built.device,
        LIMITS[settings.effort],
        seed=settings.seed,
        announce=announce,
    )
    timed = [row for row in rows if row.times and row.outcome == "ok"]
    fastest = min(timed, key=lambda row: row.time_s or math.inf, default=None)
    spread = fastest is not None and widely_spread(fastest.times)
    return replace(
        case,
        rows=tuple(rows),
        selection_s=selection.cost_s,
        unstable=load.share() > HIGH_LOAD or spread,
    )


def widely_spread(times: Sequence[float]) -> bool:
    """Return whether times are spread so widely that their median means little."""
    if len(times) < 2 * MIN_ROUNDS:
        return False
    low, middle, high = statistics.quantiles(times, n=4)
    return middle > 0 and (high - low) / middle > WIDE_SPREAD
