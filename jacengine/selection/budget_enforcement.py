"""The winner of a race held to its budget: predictions extrapolate, runs do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jacengine.problem.problem import Problem
from jacengine.seeding.basis import balanced
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.chunk_variants import resized
from jacengine.selection.race import Race

CLOSE = 0.5
"""Share of the budget from which a predicted peak is measured: where a phase of a pass
outgrows another, peaks are above the line through small ones."""


def ranked_within(
    race: Race, order: Sequence[str], budget: int
) -> list[CandidateResult]:
    """Rank those in a race; the first is far within its budget, or measured to be.

    Args:
        race: One that has been run.
        order: The strategies as they are registered.
        budget: Bytes.

    Returns:
        As `Race.ranking`. What takes too much is out, and tried with fewer directions.
    """
    while True:
        ranked = race.ranking(order)
        leader = next(iter(ranked), None)
        if leader is None or (leader.predicted_bytes or 0) < CLOSE * budget:
            return ranked
        if leader.peak_bytes is None:
            race.measure_peak(leader)
        elif leader.peak_bytes <= budget:
            return ranked
        else:
            race.running.remove(leader)
            race.out.append(_over(leader, budget))
            narrower = _narrower(race.problem, leader, budget)
            if narrower is not None:
                race.enter(narrower, float("inf"))


def _over(record: CandidateResult, budget: int) -> CandidateResult:
    took, allowed = format_bytes(record.peak_bytes or 0), format_bytes(budget)
    reason = f"took {took}, of {allowed}"
    return replace(record, outcome="over_budget", reason=reason)


def _narrower(
    problem: Problem, record: CandidateResult, budget: int
) -> CandidateResult | None:
    """Return the record with the chunk that should fit, `None` if there is none."""
    method, chunk = record.method, record.chunk_size
    if method is None or record.fit_memory_model is None or chunk is None or chunk == 1:
        return None
    result = problem.result_bytes
    beside = max(1, (record.peak_bytes or 0) - result)
    share = max(0.0, (budget - result) / beside)
    fewer = max(1, min(chunk - 1, int(chunk * share)))
    blocks = balanced(method.directions(problem), fewer)
    return resized(problem, record, max(b.stop - b.start for b in blocks))
