"""The same method in other portions: more or fewer directions, samples in slices.

A pass whose intermediates outgrow the caches, or the memory that the allocator keeps,
takes longer than several small ones; how much fits is the machine's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from jacengine.problems.call import Call
from jacengine.problems.problem import Problem
from jacengine.products.accumulate import prepared
from jacengine.products.batching import sliceable
from jacengine.products.seeding import balanced
from jacengine.selection.record import Record

OTHER_CHUNKS = (1 / 4, 1 / 16, 4)
"""The leader is also tried with its chunk times these; none is always the fastest."""
SLICE = 2**23
"""Bytes of intermediates that a slice of samples is made for."""


def variants(problem: Problem, call: Call, leader: Record) -> Iterator[Record]:
    """Yield the leader of a race with other chunks, then with its samples in slices."""
    if leader.method is None or leader.appetite is None:
        return
    if not leader.method.strategy.single:
        yield from _chunks(problem, leader)
    sliced = _sliced(problem, call, leader)
    if sliced is not None:
        yield sliced


def _chunks(problem: Problem, leader: Record) -> Iterator[Record]:
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


def resized(problem: Problem, record: Record, chunk_size: int) -> Record:
    """Return a record that is as if its method had been qualified with this chunk."""
    assert record.method is not None
    assert record.appetite is not None
    changed = replace(record.method, chunk_size=chunk_size)
    return replace(
        record,
        method=changed,
        chunk_size=chunk_size,
        passes=changed.passes(problem),
        predicted_bytes=record.appetite.peak(problem, changed, chunk_size),
        peak_bytes=None,
        time_s=None,
        first_s=None,
        into_s=None,
        times=(),
    )


def _sliced(problem: Problem, call: Call, leader: Record) -> Record | None:
    """Return the leader with slices of samples, if its intermediates are large."""
    method, size = leader.method, problem.sample_count
    assert method is not None
    beside = (leader.predicted_bytes or 0) - problem.result_bytes
    count = size * SLICE // max(1, beside)
    large = method.samples is None and 1 < count <= size // 2
    if not large or not sliceable(problem, method.batching):
        return None
    try:
        changed = prepared(problem, call, replace(method, samples=count), timed=True)
        some = call.samples(0, count)
        some(*some.primals(connected=False))
    except Exception:
        return None  # the function takes batches of the size it was given and no other
    return replace(
        leader,
        method=changed,
        passes=changed.passes(problem),
        predicted_bytes=problem.result_bytes + beside * count // size,
        appetite=None,
        time_s=None,
        first_s=None,
        times=(),
    )
