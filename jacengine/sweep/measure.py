"""The measurement of one case: candidates are verified, timed in rounds and counted."""

from __future__ import annotations

import math
import random
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from jacengine.bench.source import workload_code
from jacengine.bench.workload import Workload
from jacengine.errors import JacengineError
from jacengine.report.case import Case, Row
from jacengine.selection.budget import format_bytes, to_bytes
from jacengine.selection.select import RACE, select
from jacengine.sweep.candidate import Candidate
from jacengine.sweep.candidates import Candidates, find_libraries, find_strategies
from jacengine.sweep.case_spec import CaseProblem, CaseSpec, Crashes, Settings
from jacengine.sweep.limits import LIMITS, MIN_ROUNDS, ROUNDS, Limits
from jacengine.sweep.system_load import HIGH_LOAD, SystemLoad
from jacengine.timing import time_interleaved, warm_up

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
        crashes: Strategies and libraries that must not run again.

    Returns:
        The case; an error of the case as a whole is its `failure`. It is skipped if its
        workload needs a library that is not installed.
    """
    case = Case(
        spec.name,
        workload.use,
        workload=workload.name,
        size=spec.size,
        parameter=workload.parameter,
        origin=workload.origin,
        code=workload_code(workload),
        device=spec.device,
        threads=torch.get_num_threads(),
    )
    with warnings.catch_warnings():
        # Of methods that the user did not choose: a slow batching rule, for example.
        warnings.simplefilter("ignore")
        try:
            announce(RACE)
            built = CaseProblem.build(spec, workload)
            return _measure(case, built, settings, announce, crashes or {})
        except JacengineError as error:
            return replace(case, failure=str(error).partition("\n")[0])
        except ModuleNotFoundError as error:
            reason = f"{error.name} is not installed" if error.name else str(error)
            return replace(case, failure=reason, skipped=True)
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
    every = find_strategies(settings, quantity)
    strategies = tuple(s for s in every if s.name not in crashes)
    libraries = find_libraries(settings, quantity)
    warm_up()
    load = SystemLoad()
    selection = select(
        problem,
        built.bound,
        strategies,
        budget=budget,
        effort="quick",
        announce=announce,
    )
    found = Candidates(
        built, strategies, libraries, selection, settings.compiled, announce, crashes
    )
    rows = _run(found, built, settings, announce)
    lost = (s.name for s in every if s.name in crashes)
    rows += [Row(name, *crashes[name]) for name in lost]
    timed = [row for row in rows if row.times and row.outcome == "ok"]
    fastest = min(timed, key=lambda row: row.time_s or math.inf, default=None)
    spread = fastest is not None and widely_spread(fastest.times)
    return replace(
        case,
        rows=tuple(rows),
        selection_s=selection.cost_s,
        unstable=load.share() > HIGH_LOAD or spread,
    )


def _run(
    found: Iterable[Candidate | Row],
    case: CaseProblem,
    settings: Settings,
    announce: Callable[[str], None],
) -> list[Row]:
    """Verify all candidates, time those near the best, and count memory and FLOPs.

    The best is the best of our eager candidates: compiled code may be so far ahead that
    no other candidate would be near it, and their differences are of interest too.

    Returns:
        The rows of all, `auto` first if it took part.
    """
    limits = LIMITS[settings.effort]
    candidates: list[Candidate] = []
    rows: list[Row] = []
    best_s = math.inf
    for candidate in found:
        if isinstance(candidate, Row):
            rows.append(candidate)
            continue
        candidates.append(candidate)
        limit_s = limits.first_run_s(best_s)
        candidate.verify(case.reference, case.device, limits, limit_s)
        eager = candidate.row.kind in {"strategy", "auto"}
        if candidate.correct and (eager or best_s == math.inf):
            best_s = min(best_s, candidate.best_s)
    announce(ROUNDS)
    near_s = max(limits.near * best_s, limits.short_s)
    near = [
        candidate
        for candidate in candidates
        if candidate.correct
        and (candidate.best_s <= near_s or candidate.row.kind in {"auto", "compiled"})
    ]
    time_candidates(near, case.device, limits, settings.seed)
    for candidate in candidates:
        announce(candidate.row.strategy)
        candidate.count(case.device, limits)
    return [*(candidate.row for candidate in candidates), *rows]


def time_candidates(
    candidates: Sequence[Candidate], device: torch.device, limits: Limits, seed: int
) -> None:
    """Time candidates in interleaved rounds; the slow ones take part in fewer."""
    rounds = [limits.rounds_of(c.best_s, len(candidates)) for c in candidates]

    def participants(times: Mapping[int, list[float]]) -> list[int]:
        return [i for i, taken in times.items() if len(taken) < rounds[i]]

    found = time_interleaved(
        {i: candidate.run for i, candidate in enumerate(candidates)},
        device,
        rounds=limits.rounds,
        participants=participants,
        shuffle=random.Random(seed),  # noqa: S311 - an order, no secret
    )
    for i, times in found.times.items():
        candidates[i].record(times)
    for i, error in found.failures.items():
        candidates[i].fail(error)


def widely_spread(times: Sequence[float]) -> bool:
    """Return whether times are spread so widely that their median means little."""
    if len(times) < 2 * MIN_ROUNDS:
        return False
    low, middle, high = statistics.quantiles(times, n=4)
    return middle > 0 and (high - low) / middle > WIDE_SPREAD
