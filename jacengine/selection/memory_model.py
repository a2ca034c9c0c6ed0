"""How much memory a method takes, as an affine function of the directions a pass.

Fitted to runs on the first two and the first four directions a pass, which do all that
the whole does, only less of it: as one block (whose product may become the result) and,
where the whole does not fit into one, as two blocks, the second of which runs while the
result exists. Where even that may be too much, the least there can be is predicted by
the same run on fake tensors, which have sizes and no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, accumulate
from jacengine.interface import Curvature, Pushforward
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding import samples as sample_policies
from jacengine.seeding.basis import balanced
from jacengine.seeding.samples import SamplePolicy, slices
from jacengine.timing import peak_memory

PROBES = (2, 4)
"""Directions a pass of the two runs that the model is fitted to."""


@dataclass(frozen=True)
class Line:
    """Bytes as an affine function of the directions a pass."""

    fixed: float
    per_direction: float

    def at(self, count: int) -> float:
        """Evaluate it."""
        return self.fixed + count * self.per_direction


@dataclass(frozen=True)
class MemoryModel:
    """Peak memory of a method.

    Attributes:
        whole: Of a run that is one block, its result included.
        chunked: Of a pass while the result exists already, without the result;
            `None` where that was not measured: then bounded from above.
    """

    whole: Line
    chunked: Line | None = None

    def peak(self, problem: Problem, method: Method, chunk_size: int) -> int:
        """Predict the peak of a whole Jacobian in chunks."""
        directions = max(1, method.directions(problem))
        if chunk_size >= directions and not method.strategy.single:
            return round(self.whole.at(directions))
        beside = self.whole if self.chunked is None else self.chunked
        return round(beside.at(min(chunk_size, directions)) + problem.result_bytes)

    def largest_chunk(
        self, problem: Problem, method: Method, budget: int
    ) -> int | None:
        """Return the largest balanced chunk that fits, `None` if not even one does."""
        directions = max(1, method.directions(problem))
        low, high = 0, 1 if method.strategy.single else directions
        if self.peak(problem, method, high) <= budget:
            return high
        while high - low > 1:
            middle = (low + high) // 2
            if self.peak(problem, method, middle) <= budget:
                low = middle
            else:
                high = middle
        if low == 0:
            return None
        return max(int(b.stop - b.start) for b in balanced(directions, low))


def fit_memory_model(
    problem: Problem, bound: BoundFunction, method: Method
) -> MemoryModel:
    """Measure what a method allocates on its first few directions, in one block."""
    if method.strategy.single:
        return in_chunks(problem, bound, method, MemoryModel(Line(0, 0)))
    one_block = replace(method, chunk_size=None)
    peaks = {}
    for count in PROBES:
        part = restrict(problem, method, count)
        directions = method.directions(part)
        if directions not in peaks:
            peaks[directions] = _measured(part, bound, one_block)
    return MemoryModel(_fitted(peaks, _unseeded(problem, method)))


def in_chunks(
    problem: Problem, bound: BoundFunction, method: Method, needs: MemoryModel
) -> MemoryModel:
    """Measure what a pass allocates beside the result, in runs of two blocks."""
    peaks = {}
    for count in (1,) if method.strategy.single else PROBES:
        part = restrict(problem, method, 2 * count)
        directions = method.directions(part)
        # The chunk that makes two blocks of them, unless there are too few.
        chunk = max(1, -(-directions // 2))
        if chunk not in peaks:
            peak = _measured(part, bound, replace(method, chunk_size=chunk))
            peaks[chunk] = peak - part.result_bytes
    return replace(needs, chunked=_fitted(peaks, _unseeded(problem, method)))


def _measured(problem: Problem, bound: BoundFunction, method: Method) -> int:
    few, some = first_slices(problem, bound, method)
    with peak_memory(problem.outputs[0].device) as peak:
        accumulate(few, some, method)
    return peak.bytes + problem.result_bytes - few.result_bytes


def fake_peak(problem: Problem, bound: BoundFunction, method: Method) -> int | None:
    """Predict the peak with one direction a pass, without computing or allocating.

    Returns:
        Bytes; `None` where the function cannot run on tensors without values.
    """
    if method.sample_policy is SamplePolicy.COUPLED_ROWS:
        return None  # even one row has a direction for every sample
    part = restrict(problem, method, 1)
    kernel = Sweep(part, method, on_fake_tensors=True)
    held = [t for m in problem.modules for t in (*m.parameters(), *m.buffers())]
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:

            def fake(leaf: Any) -> Any:
                return mode.from_tensor(leaf) if isinstance(leaf, Tensor) else leaf

            leaves = tuple(map(fake, bound.leaves))
            existing = [*map(fake, held), *filter(torch.is_tensor, leaves)]
            # Fake tensors have no random state to compare either.
            on_fake_tensors = replace(bound, leaves=leaves, deterministic=False)
            with peak_memory(torch.device("cpu"), existing) as peak:
                kernel.run(on_fake_tensors)
    except (RuntimeError, NotImplementedError, TypeError):
        return None  # values are needed, or there is no fake kernel
    seeds = sum(leaf.size * leaf.dtype.itemsize for leaf in kernel.seeded)
    return peak.bytes + seeds - part.result_bytes + problem.result_bytes


def restrict(problem: Problem, method: Method, count: int) -> Problem:
    """Return the problem of the first few rows or columns, as the method goes."""
    if isinstance(method.strategy, Pushforward | Curvature):
        columns = _first(problem.columns, problem.column_count, count)
        return replace(problem, columns=columns)
    return replace(problem, rows=_first(problem.rows, problem.row_count, count))


def first_slices(
    problem: Problem, bound: BoundFunction, method: Method
) -> tuple[Problem, BoundFunction]:
    """Return the problem of the first two slices of samples, as the method cuts them.

    Those after them do the same again, unless their graphs are kept.
    """
    parts = slices(problem, method.sample_policy, method.samples)
    if len(parts) <= 2 or problem.options.create_graph:
        return problem, bound
    count = 2 * max(part.stop - part.start for part in parts)
    layout = replace(problem.layout, batch_size=count)
    return replace(problem, layout=layout), bound.samples(0, count)


def _first(chosen: Tensor | None, available: int, count: int) -> Tensor:
    return (torch.arange(available) if chosen is None else chosen)[:count]


def _unseeded(problem: Problem, method: Method) -> int:
    """Count the bytes of a seed that the first directions do not have.

    Seeds of tensors that no direction of a block lies in are views of a zero.
    """
    seeding = sample_policies.seeding(problem, method.strategy, method.sample_policy)
    last = int(seeding.indices[: 2 * PROBES[-1]].max()) if seeding.count else 0
    missing, start = 0, 0
    for leaf in seeding.leaves:
        if start > last:
            missing += leaf.size * leaf.dtype.itemsize
        start += leaf.size
    return 0 if method.strategy.single else missing


def _fitted(peaks: Mapping[int, int], unseeded: int) -> Line:
    (first, low), (last, high) = min(peaks.items()), max(peaks.items())
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return Line(low - first * slope, slope + unseeded)
