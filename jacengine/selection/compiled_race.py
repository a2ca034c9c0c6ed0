"""Compiled candidates that were made beside the calls of a plan, against its choice."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.diagonal_reference import RECHECK_PASSES
from jacengine.selection.effort import LIMITS
from jacengine.selection.race import Race
from jacengine.selection.ranking import ranking
from jacengine.selection.reference import Reference
from jacengine.selection.select import Selection


def race_compiled(
    problem: Problem,
    bound: BoundFunction,
    selection: Selection,
    compiled: Sequence[CandidateResult],
    clock: Callable[[], float] = time.perf_counter,
) -> Selection:
    """Verify what was compiled at the arguments of this call, and time it.

    Args:
        problem: What is computed.
        bound: The function at the arguments of the moment.
        selection: What was chosen before.
        compiled: Compiled candidates that are ready, or why they are not.
        clock: Seconds, for what it costs.

    Returns:
        The selection with the compiled candidates among the others.
    """
    started, chosen = clock(), selection.ranked[0]
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        warnings.simplefilter("ignore")  # of candidates that will not be chosen
        reference = Reference.of(problem, bound, passes=RECHECK_PASSES)
        race = Race(
            problem,
            bound,
            reference,
            LIMITS["quick"],
            clock,
            budget=selection.budget,
            running=[replace(chosen, time_s=None, times=())],
        )
        race.run_compiled(r for r in compiled if r.outcome == "ok")
    race.out += [result for result in compiled if result.outcome != "ok"]
    ranked = ranking(race.running, [result.strategy for result in race.running])
    names = {result.strategy for result in compiled}
    others = [
        result
        for result in selection.candidates
        if result is not chosen
        and not (result.outcome == "skipped" and result.strategy in names)
    ]
    found = [*ranked, *others, *race.out]
    found.sort(key=lambda result: result.outcome != "ok")
    cost_s = selection.cost_s + clock() - started
    return replace(selection, candidates=tuple(found), cost_s=cost_s)
