"""The winner of a race within its budget: predictions extrapolate, runs do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jacengine.problem.problem import Problem
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.race import Race
from jacengine.task import balanced

CLOSE = 0.5
"""Share of the budget from which a predicted peak is measured: where one phase of a
pass outgrows another, peaks are above the line through small ones."""


def ranked_within(
    race: Race, order: Sequence[str], budget: int
) -> list[CandidateResult]:
    """Rank those in a race; the first is far within its budget, or measured to be.

    Args:
        race: One that has been run.
        order: The strategies in order of registration.
        budget: Bytes.

    Returns:
        As `Race.ranking`. What takes too much is out, and tried with fewer directions.
    """
    while True:
        ranked = race.ranking(order)
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
            narrower = _narrower(race.problem, leader, budget)
            if narrower is not None:
                race.enter(narrower, float("inf"))


def _narrower(
    problem: Problem, result: CandidateResult, budget: int
) -> CandidateResult | None:
    """Return the candidate with a chunk that should fit, `None` if there is none."""
    method, chunk = result.method, result.chunk_size
    if method is None or result.memory_model is None or chunk is None or chunk == 1:
        return None
    size = problem.result_bytes
    beside = max(1, (result.peak_bytes or 0) - size)
    share = max(0.0, (budget - size) / beside)
    fewer = max(1, min(chunk - 1, int(chunk * share)))
    blocks = balanced(method.directions(problem), fewer)
    chunk_size = max(b.stop - b.start for b in blocks)
    return result.changed(problem, replace(method, chunk_size=chunk_size))
