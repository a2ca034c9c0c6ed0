"""The fastest methods again, compiled: verified as others are, and raced with the best.

Compiling takes seconds to a minute, so it is for plans that are used often, and asked
for.
"""

from __future__ import annotations

import functools
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from jacengine.execution.method import Execution
from jacengine.execution.sweep import Sweep
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.effort import NOISE
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.selection.select import Selection
from jacengine.selection.verify import verify
from jacengine.timing import format_seconds, seconds

NEAR, MOST = 3.0, 3
"""Methods are compiled that take so many times the best one's time, and so many."""
PATIENCE = 20.0
"""Seconds of compiling after which no other method is begun: some of a few hundred
operators take minutes."""
ROUNDS = 9
"""Rounds in which the compiled methods and the best eager one run in turn."""
SPARE = 2
"""A method is compiled if its predicted peak fits this many times into the budget: what
compiled code allocates is not seen, and by fusing it is less."""


def with_compiled(
    problem: Problem, bound: BoundFunction, selection: Selection
) -> Selection:
    """Return a selection with the best methods compiled among its candidates.

    Args:
        problem: What is computed.
        bound: The function at the arguments to try them on.
        selection: With at least one right method.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Reference.of(problem, bound)
        tried = [
            _compiled(problem, bound, record, reference, started + PATIENCE)
            for record in _worth(selection.ranked, selection.budget)
        ]
        best, *others = selection.ranked
        leader = replace(best, kernel=best.kernel or _kernel(problem, best))
        right = [record for record in tried if record.outcome == "ok"]
        leader, *raced = _raced(problem, bound, [leader, *right])
    right = [record for record in raced if record.outcome == "ok"]
    faster = (leader.time_s or 0.0) * (1 - NOISE)
    ahead = [record for record in right if (record.time_s or 0.0) < faster]
    behind = [record for record in right if (record.time_s or 0.0) >= faster]
    wrong = [record for record in (*tried, *raced) if record.outcome != "ok"]
    out = [record for record in selection.records if record.outcome != "ok"]
    return replace(
        selection,
        records=(
            *sorted(ahead, key=lambda record: record.time_s or 0.0),
            leader,
            *behind,
            *others,
            *wrong,
            *out,
        ),
        cost_s=selection.cost_s + time.perf_counter() - started,
    )


def _worth(ranked: Sequence[CandidateResult], budget: int) -> Iterator[CandidateResult]:
    """Yield the fastest methods, each strategy once: compiled, their order changes."""
    best = ranked[0].time_s or 0.0
    seen: set[str] = set()
    for record in ranked:
        near = (record.time_s or 0.0) <= NEAR * best
        fits = SPARE * (record.predicted_bytes or 0) <= budget
        if near and fits and record.strategy not in seen and len(seen) < MOST:
            seen.add(record.strategy)
            yield record


def _kernel(problem: Problem, record: CandidateResult) -> Sweep:
    assert record.method is not None
    return Sweep(problem, record.method)


def _compiled(
    problem: Problem,
    bound: BoundFunction,
    record: CandidateResult,
    reference: Reference,
    until: float,
) -> CandidateResult:
    """Compile a method and verify what it computes then, if it is not too late."""
    assert record.method is not None
    method = replace(record.method, execution=Execution.COMPILED)
    bare = replace(
        record, method=method, time_s=None, first_s=None, times=(), peak_bytes=None
    )
    if time.perf_counter() > until:
        reason = f"not tried: others took more than {format_seconds(PATIENCE)}"
        return replace(bare, outcome="skipped", reason=reason)
    try:
        kernel = Sweep(problem, method)
        blocks = kernel.run(bound)
        verdict = verify(problem, bound, method, reference, blocks)
    except Exception as error:
        outcome, reason = classify_error(error)
        return replace(bare, outcome=outcome, reason=reason)
    if verdict.right:
        return replace(bare, kernel=kernel, error=verdict.error)
    outcome = "wrong" if verdict.finite else "nonfinite"
    return replace(bare, outcome=outcome, reason=verdict.complaint)


def _raced(
    problem: Problem, bound: BoundFunction, records: Sequence[CandidateResult]
) -> list[CandidateResult]:
    """Return records with their median times over interleaved rounds."""
    device = problem.outputs[0].device
    running = [*records]
    for number in range(ROUNDS):
        order = range(len(running)) if number % 2 == 0 else range(len(running))[::-1]
        for i in order:
            running[i] = _again(bound, running[i], device)
    return running


def _again(
    bound: BoundFunction, record: CandidateResult, device: torch.device
) -> CandidateResult:
    """Time a record once more; one that no longer runs is out."""
    if record.outcome != "ok" or record.kernel is None:
        return record
    run = functools.partial(record.kernel.run, bound)
    fresh = record.times if record.first_s is None else ()
    try:
        times = (*fresh, seconds(run, device))
    except RuntimeError as error:
        outcome, reason = classify_error(error)
        return replace(record, outcome=outcome, reason=reason)
    taken = statistics.median(times)
    return replace(record, times=times, time_s=taken, first_s=None)
