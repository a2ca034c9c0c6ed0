"""Variants of a method: other chunks, samples in slices, compiled.

A pass whose intermediates exceed the caches, or the memory that the allocator keeps,
takes longer than several small ones; how much fits depends on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from jacengine.execution.method import Execution
from jacengine.execution.sweep import prepare
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, sliceable
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.memory_model import balanced_chunk

OTHER_CHUNKS = (1 / 4, 1 / 16, 4)
"""The leader is also tried with its chunk times these; none is always the fastest."""
SLICE_BYTES = 2**23
"""Bytes of intermediates that a slice of samples should have."""
COMPILED_FACTOR, MAX_COMPILED = 3.0, 3
"""Strategies are compiled that take at most so many times the best one's time, and at
most so many of them: compilation changes their order."""
ALIKE = 2
"""So many times the directions of the fastest are about as many."""
FEWER = 4
"""So many times fewer directions are far fewer."""
COMPILED_SPARE = 2
"""A method is compiled if its predicted peak fits this many times into the budget: what
compiled code allocates is not measured; by fusion it is less."""


def chunk_variants(
    problem: Problem, leader: CandidateResult
) -> Iterator[CandidateResult]:
    """Yield the leader of a race with other numbers of directions a pass."""
    method = leader.method
    if method is None or leader.memory_model is None:
        return
    if method.capabilities.max_directions == 1:
        return
    directions = method.directions(problem)
    chunk = leader.chunk_size or directions
    largest = leader.largest_chunk or chunk
    for factor in OTHER_CHUNKS:
        wanted = min(largest, max(1, round(chunk * factor)))
        other = balanced_chunk(directions, wanted)
        if other not in {chunk, 1}:
            yield leader.changed(problem, replace(method, chunk_size=other))


def slice_variants(
    problem: Problem, bound: BoundFunction, leader: CandidateResult
) -> Iterator[CandidateResult]:
    """Yield the leader with its samples in slices, if its intermediates are large."""
    method, size = leader.method, problem.sample_count
    if method is None or leader.memory_model is None:
        return
    beside = (leader.predicted_bytes or 0) - problem.result_bytes
    count = size * SLICE_BYTES // max(1, beside)
    large = method.slice_size is None and 1 < count <= size // 2
    if not large or not sliceable(problem, method.sample_policy):
        return
    try:
        sliced = replace(method, slice_size=count)
        sliced = prepare(problem, bound, sliced, timed=True)
        some = bound.samples(0, count)
        some(*some.primals(connected=False))
    except Exception:
        return  # the function takes batches of the size it was given and no other
    peak = problem.result_bytes + beside * count // size
    whole = replace(leader, memory_model=None, predicted_bytes=peak)
    yield whole.changed(problem, sliced)


def compiled_variants(
    problem: Problem,
    ranked: Sequence[CandidateResult],
    skipped: Sequence[CandidateResult],
    budget: int,
) -> Iterator[CandidateResult]:
    """Yield the fastest candidates compiled, each strategy and seeding once.

    After the fastest come those that lose, eager, by the launches of their operators,
    which compiled code does not have: one near it that takes far fewer directions, and
    the one of the other mode (forward or reverse) with the fewest passes, timed or
    skipped.
    """
    if not ranked:
        return
    best = ranked[0].time_s or 0.0
    near = [r for r in ranked if (r.time_s or 0.0) <= COMPILED_FACTOR * best]
    fewer = [
        r
        for r in near
        if _directions(problem, near[0]) >= FEWER * _directions(problem, r)
    ]
    fewer.sort(key=lambda result: _directions(problem, result))
    others = [r for r in (*ranked, *skipped) if in_other_mode(problem, r, near[0])]
    others.sort(key=lambda result: _passes(problem, result))
    seen: set[tuple[str, str]] = set()
    for result in (near[0], *fewer[:1], *others[:1], *near[1:]):
        if result.method is None:
            continue
        kind = result.strategy, result.method.seeding.name
        fits = COMPILED_SPARE * (result.predicted_bytes or 0) <= budget
        if fits and kind not in seen and len(seen) < MAX_COMPILED:
            seen.add(kind)
            compiled = replace(result.method, execution=Execution.COMPILED)
            variant = replace(result, outcome="ok", reason="")
            yield variant.changed(problem, compiled)


def in_other_mode(
    problem: Problem, result: CandidateResult, leader: CandidateResult
) -> bool:
    """Tell whether one takes JVPs and one VJPs, about as many, many in a pass."""
    method, leading = result.method, leader.method
    if method is None or leading is None or method.capabilities.max_directions == 1:
        return False
    modes = {method.capabilities.mode, leading.capabilities.mode}
    if modes != {"jvp", "vjp"} or method.sample_policy is SamplePolicy.SAMPLE_LOOP:
        return False
    return method.directions(problem) <= ALIKE * leading.directions(problem)


def _directions(problem: Problem, result: CandidateResult) -> int:
    return 1 if result.method is None else result.method.directions(problem)


def _passes(problem: Problem, result: CandidateResult) -> int:
    assert result.method is not None
    passes = result.method.passes(problem)
    return passes.forward + 2 * passes.backward


def narrower_variant(
    problem: Problem, result: CandidateResult, budget: int
) -> CandidateResult | None:
    """Return a candidate with a chunk that should fit, `None` if there is none."""
    method, chunk = result.method, result.chunk_size
    if method is None or result.memory_model is None or chunk is None or chunk == 1:
        return None
    size = problem.result_bytes
    beside = max(1, (result.peak_bytes or 0) - size)
    share = max(0.0, (budget - size) / beside)
    fewer = max(1, min(chunk - 1, int(chunk * share)))
    chunk_size = balanced_chunk(method.directions(problem), fewer)
    return result.changed(problem, replace(method, chunk_size=chunk_size))
