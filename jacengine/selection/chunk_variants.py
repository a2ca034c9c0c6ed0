"""The same method in other portions: more or fewer directions, samples in slices.

A pass whose intermediates outgrow the caches, or the memory that the allocator keeps,
takes longer than several small ones; how much fits is the machine's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jacengine.execution.sweep import prepared
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.basis import balanced
from jacengine.seeding.samples import sliceable
from jacengine.selection.candidate_result import CandidateResult

OTHER_CHUNKS = (1 / 4, 1 / 16, 4)
"""The leader is also tried with its chunk times these; none is always the fastest."""
SLICE = 2**23
"""Bytes of intermediates that a slice of samples is made for."""


def variants(
    problem: Problem, bound: BoundFunction, leader: CandidateResult
) -> Iterator[CandidateResult]:
    """Yield the leader of a race with other chunks, then with its samples in slices."""
    if leader.method is None or leader.fit_memory_model is None:
        return
    if not leader.method.strategy.single:
        yield from _chunks(problem, leader)
    sliced = _sliced(problem, bound, leader)
    if sliced is not None:
        yield sliced


def _chunks(problem: Problem, leader: CandidateResult) -> Iterator[CandidateResult]:
    method = leader.method
    assert method is not None
    directions = method.directions(problem)
    chunk = leader.chunk_size or directions
    largest = leader.largest_chunk or chunk
    for factor in OTHER_CHUNKS:
        wanted = min(largest, max(1, round(chunk * factor)))
        other = next((b.stop - b.start for b in balanced(directions, wanted)), chunk)
        if other not in {chunk, 1}:
            yield resized(problem, leader, other)


def resized(
    problem: Problem, record: CandidateResult, chunk_size: int
) -> CandidateResult:
    """Return a record that is as if its method had been qualified with this chunk."""
    assert record.method is not None
    assert record.fit_memory_model is not None
    changed = replace(record.method, chunk_size=chunk_size)
    return replace(
        record,
        method=changed,
        chunk_size=chunk_size,
        passes=changed.passes(problem),
        predicted_bytes=record.fit_memory_model.peak(problem, changed, chunk_size),
        peak_bytes=None,
        time_s=None,
        first_s=None,
        into_s=None,
        times=(),
    )


def _sliced(
    problem: Problem, bound: BoundFunction, leader: CandidateResult
) -> CandidateResult | None:
    """Return the leader with slices of samples, if its intermediates are large."""
    method, size = leader.method, problem.sample_count
    assert method is not None
    beside = (leader.predicted_bytes or 0) - problem.result_bytes
    count = size * SLICE // max(1, beside)
    large = method.samples is None and 1 < count <= size // 2
    if not large or not sliceable(problem, method.sample_policy):
        return None
    try:
        changed = prepared(problem, bound, replace(method, samples=count), timed=True)
        some = bound.samples(0, count)
        some(*some.primals(connected=False))
    except Exception:
        return None  # the function takes batches of the size it was given and no other
    return replace(
        leader,
        method=changed,
        passes=changed.passes(problem),
        predicted_bytes=problem.result_bytes + beside * count // size,
        fit_memory_model=None,
        time_s=None,
        first_s=None,
        times=(),
    )
