"""Choose a method: eligible, verified, raced, recorded."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from jacengine._host import load_average
from jacengine.interface import Composition
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.candidates import by_composition, candidates, predicted_cost
from jacengine.selection.effort import LIMITS, Effort
from jacengine.selection.eligibility import check_eligibility, without_methods
from jacengine.selection.finite_differences import disagreement
from jacengine.selection.race import Race
from jacengine.selection.ranking import ranking
from jacengine.selection.reference import Reference
from jacengine.selection.two_sided import two_sided_candidate
from jacengine.selection.variants import narrower_variant
from jacengine.timing import warm_up

RACE = "auto"
"""What is announced when no single strategy is tried."""
CAPTURE_S = 0.3
"""What it takes to capture a function as a program and to read it."""
BUSY = 0.9
"""Load a core above which times are not to be trusted: on CPU a parallel region then
waits for a core's time slice, which costs more than the work itself."""
CLOSE = 1 / 8
"""Share of the budget from which a predicted peak is measured, since predictions
extrapolate (where one phase of a pass outgrows another, peaks are above the line
through small ones), and do not see what is taken inside kernels."""


def load_of_a_core() -> float:
    """Count the processes that wanted to run of late, for each core."""
    return load_average() / (os.cpu_count() or 1)


@dataclass(frozen=True)
class Selection:
    """The result of every candidate, the chosen one first.

    Attributes:
        candidates: The verified candidates from the best to the worst, then the others.
        cost_s: What the selection took.
        budget: The memory budget in bytes.
        effort: How much was spent on it.
        source: Whether it was measured here, or read from the cache and verified.
        load: Processes that wanted to run at its start, for each core.
        doubt: How far plain autograd is from finite differences, relative, if it is
            doubtfully far.
        raced: Whether it ends the search, or is what the first call paid for.
        reached: Whether some output depends on what is differentiated.
    """

    candidates: tuple[CandidateResult, ...]
    cost_s: float
    budget: int
    effort: Effort
    source: Literal["measured", "cache"] = "measured"
    load: float = 0.0
    doubt: float | None = None
    raced: bool = True
    reached: bool = True

    @property
    def unstable(self) -> bool:
        """Whether other work disturbed the times: see `BUSY`."""
        return self.load > BUSY

    @property
    def ranked(self) -> tuple[CandidateResult, ...]:
        """The candidates that may be used, the chosen one first."""
        return tuple(result for result in self.candidates if result.outcome == "ok")

    def without_sweeps(self) -> Selection:
        """Return the selection without what refers to the function it was made for."""
        bare = (replace(result, sweep=None) for result in self.candidates)
        return replace(self, candidates=tuple(bare))

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
    compositions: Sequence[Composition],
    *,
    budget: int,
    effort: Effort,
    compiled: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    announce: Callable[[str], object] = lambda _: None,
) -> Selection:
    """Choose the fastest method that is right and fits.

    A candidate may allocate the bytes of `budget`, its result included, that the
    reference does not take. Effort `"none"` times
    nothing and takes the first right one in the order of the cost model. If `compiled`,
    the fastest methods take part compiled too. The name of each strategy is announced
    before it is tried.
    """
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        # Of candidates that will not be chosen: a slow batching rule, a resized buffer.
        warnings.simplefilter("ignore")
        warm_up()
        started, load = clock(), load_of_a_core()
        reference = Reference.of(problem, bound, budget=budget)
        left = max(0, budget - reference.held_bytes)
        race = Race(problem, bound, reference, LIMITS[effort], clock, budget=left)
        timed = effort != "none"
        _enter_all(
            race,
            compositions,
            left,
            timed=timed,
            compiled=compiled,
            announce=announce,
        )
        announce(RACE)
        race.run(compiled=compiled)
        ranked = _ranked_within(race, [c.name for c in compositions], left)
        doubt = None
        if effort == "thorough" or not reference.certain:
            doubt = disagreement(problem, bound, reference)
        cost_s = clock() - started
        found = (*ranked, *race.out)
        return Selection(
            found,
            cost_s,
            budget,
            effort,
            load=load,
            doubt=doubt,
            reached=reference.reached,
        )


def _enter_all(
    race: Race,
    compositions: Sequence[Composition],
    budget: int,
    *,
    timed: bool,
    compiled: bool,
    announce: Callable[[str], object],
) -> None:
    """Try candidates in the order of the cost model, while it is worth it."""
    problem, met = race.problem, set[str]()
    reference = race.reference
    pair = two_sided_candidate(
        problem, race.bound, compositions, reference, budget, timed=timed
    )
    if pair is not None and pair.method is not None:
        race.enter(pair, predicted_cost(problem, pair.method))
    for methods in by_composition(candidates(problem, compositions)):
        name, cost = methods[0].name, predicted_cost(problem, methods[0])
        met.add(name)
        captures = methods[0].capabilities.captures and not compiled
        reason = race.reason_to_skip(cost, CAPTURE_S if captures else 0.0)
        if reason is not None:
            race.out.append(CandidateResult(name, "skipped", reason))
            continue
        announce(name)
        result = check_eligibility(
            problem, race.bound, methods, reference, budget, timed=timed
        )
        race.enter(result, cost)
    race.out += without_methods(problem, compositions, met)


def _ranked_within(
    race: Race, order: Sequence[str], budget: int
) -> list[CandidateResult]:
    """Rank those in a race; the first is far within the budget, or measured to be.

    What takes too much is out, and tried with fewer directions.
    """
    while True:
        ranked = ranking(race.running, order)
        leader = next(iter(ranked), None)
        if leader is None or (leader.predicted_bytes or 0) < CLOSE * budget:
            return ranked
        if leader.compiled:  # its peak cannot be measured, and was predicted with room
            return ranked
        if leader.peak_bytes is None:
            race.measure_peak(leader)
        elif leader.peak_bytes <= budget:
            return ranked
        else:
            took, allowed = format_bytes(leader.peak_bytes), format_bytes(budget)
            race.remove(leader, "over_budget", f"took {took}, of {allowed}")
            narrower = narrower_variant(race.problem, leader, budget)
            if narrower is not None:
                race.enter(narrower, float("inf"))
