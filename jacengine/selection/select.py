"""Choosing a method: qualified, put in order, verified, raced, recorded."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import psutil

from jacengine.interface import Strategy
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.budget_enforcement import ranked_within
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.cost_model import expected_cost
from jacengine.selection.effort import QUICK, THOROUGH, UNTIMED
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.finite_differences import disagreement
from jacengine.selection.isolation import Isolation
from jacengine.selection.race import Race
from jacengine.selection.reference import Reference
from jacengine.timing import warm_up

Effort = Literal["none", "quick", "thorough"]

BUSY = 0.9
"""Load a core above which times are not to be trusted: on CPU a parallel region then
waits for a core's time slice, which costs more than the work itself."""

EFFORT_LIMITS = {"none": UNTIMED, "quick": QUICK, "thorough": THOROUGH}


@dataclass(frozen=True)
class Selection:
    """Every candidate with what became of it, the chosen one first.

    Attributes:
        records: The verified candidates from the best to the worst, then the others.
        cost_s: What the selection took.
        budget: The memory budget in bytes.
        effort: How much was spent on it.
        source: Whether it was measured here, or read from the cache and verified.
        load: Processes that wanted to run at its start, for each core.
        doubt: How far plain autograd is from finite differences, relative, if it is
            doubtfully far.
    """

    records: tuple[CandidateResult, ...]
    cost_s: float
    budget: int
    effort: Effort
    source: Literal["measured", "cache"] = "measured"
    load: float = 0.0
    doubt: float | None = None

    @property
    def unstable(self) -> bool:
        """Whether other work disturbed the times: see `BUSY`."""
        return self.load > BUSY

    @property
    def ranked(self) -> tuple[CandidateResult, ...]:
        """The candidates that may be used, the chosen one first."""
        return tuple(record for record in self.records if record.outcome == "ok")

    @property
    def break_even(self) -> int | None:
        """After how many calls the selection has paid for itself.

        Compared with the slowest verified candidate: what a user may have picked.
        """
        times = [r.time_s for r in self.ranked if r.time_s is not None]
        if len(times) < 2 or times[-1] <= times[0]:
            return None
        return int(self.cost_s / (times[-1] - times[0])) + 1


def select(
    problem: Problem,
    bound: BoundFunction,
    strategies: Sequence[Strategy],
    *,
    budget: int,
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
) -> Selection:
    """Choose the fastest method that is right and fits.

    Args:
        problem: What to compute.
        bound: The function at the arguments to try methods on.
        strategies: The candidates.
        budget: Bytes that a candidate may allocate, its result included.
        effort: `"none"` times nothing and takes the first right one in the order of
            the cost model.
        clock: Seconds, for the selection's own cost.
    """
    with warnings.catch_warnings():
        # Of candidates that will not be chosen: a slow batching rule, a resized buffer.
        warnings.simplefilter("ignore")
        warm_up()
        started, load = clock(), psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        guard = Isolation(bound, problem.modules)
        reference = Reference.of(problem, guard.bound)
        race = Race(
            problem, guard.bound, reference, EFFORT_LIMITS[effort], clock, budget=budget
        )
        _enter_all(race, guard, strategies, budget, timed=effort != "none")
        race.run()
        names = [strategy.name for strategy in strategies]
        chosen = ranked_within(race, names, budget)
        doubt = None
        if effort == "thorough":
            doubt = disagreement(problem, guard.bound, reference)
        return Selection(
            (*chosen, *race.out),
            clock() - started,
            budget,
            effort,
            load=load,
            doubt=doubt,
        )


def _enter_all(
    race: Race,
    guard: Isolation,
    strategies: Sequence[Strategy],
    budget: int,
    *,
    timed: bool,
) -> None:
    """Qualify strategies in the order of the cost model, while it is worth it."""
    expected = [expected_cost(race.problem, strategy) for strategy in strategies]
    for cost, place in sorted((cost, place) for place, cost in enumerate(expected)):
        strategy = strategies[place]
        reason = race.reason_to_stop(cost)
        if reason is not None:
            race.out.append(CandidateResult(strategy.name, "skipped", reason))
            continue
        record = check_eligibility(
            race.problem, race.bound, strategy, race.reference, budget, timed=timed
        )
        race.enter(record, cost)
        changed = guard.restore()
        if changed is not None:
            race.disqualify(strategy.name, f"changes what is the user's: {changed}")
