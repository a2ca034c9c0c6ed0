"""Peak memory of a method, as an affine function of the directions a pass.

Fitted to runs on the first two and the first four directions a pass, which do what the
whole does, only less of it: as one block (whose product may become the result) and,
where the whole does not fit into one, as two blocks, the second of which runs while the
result exists. Where even that may be too much, the least that a method takes is
predicted by the same run on fake tensors, which have sizes and no memory.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import FakeTensorMode
from jacengine.execution.method import BASIS, Method
from jacengine.execution.sweep import Sweep
from jacengine.peak_memory import peak_memory
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, at_samples, sample_slices
from jacengine.task import balanced

PROBES = (2, 4)
"""Directions a pass of the two runs that the model is fitted to."""
COLOR_PROBES = (8, 64)
"""The same of sparse Jacobians, which take few directions, and whose values take more
than a pass on few of them."""
EXTRAPOLATION = 1.1
"""Room for what a pass with more directions takes beyond the line through those."""


@dataclass(frozen=True)
class Affine:
    """Bytes or seconds as an affine function of a number of directions."""

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
            `None` where that was not measured: then bounded from above by `whole`.
    """

    whole: Affine
    chunked: Affine | None = None

    def peak(self, problem: Problem, method: Method, chunk_size: int) -> int:
        """Predict the peak of a whole Jacobian in chunks."""
        directions = max(1, method.directions(problem))
        if chunk_size >= directions and method.capabilities.max_directions is None:
            return round(self.whole.at(directions))
        beside = self.whole if self.chunked is None else self.chunked
        return round(beside.at(min(chunk_size, directions)) + problem.result_bytes)

    def _with_room(self, problem: Problem, method: Method, chunk_size: int) -> int:
        peak = self.peak(problem, method, chunk_size)
        return peak if chunk_size <= PROBES[-1] else math.ceil(EXTRAPOLATION * peak)

    def largest_chunk(
        self, problem: Problem, method: Method, budget: int
    ) -> int | None:
        """Return the largest balanced chunk that fits, `None` if not even one does."""
        directions = max(1, method.directions(problem))
        most = min(directions, method.capabilities.max_directions or directions)
        if self._with_room(problem, method, most) <= budget:
            return most
        fitting = bisect_right(
            range(1, most),
            budget,
            key=lambda size: self._with_room(problem, method, size),
        )
        if fitting == 0:
            return None
        return balanced_chunk(directions, fitting)


def balanced_chunk(directions: int, most: int) -> int:
    """Return the largest block when directions are split into balanced ones."""
    return max((b.stop - b.start for b in balanced(directions, most)), default=most)


def fit_affine(
    problem: Problem,
    method: Method,
    counts: Iterable[int],
    measure: Callable[[Problem, int], float],
    *,
    blocks: int = 1,
    limit: float = math.inf,
) -> Affine:
    """Fit what `measure` finds of a method's first few directions.

    It is called with a part of the problem, of some `blocks`, and the directions a
    block of it, for each of these `counts` for which it can but find less than the
    limit.
    """
    found: dict[int, float] = {}
    for count in counts:
        part = first_directions(problem, method, blocks * count)
        size = max(1, -(-method.directions(part) // blocks))
        if size in found:  # there are no more directions
            break
        last = max(found, default=0)
        if found and found[last] * size / last > limit:
            # As if nothing were taken but for directions.
            return Affine(0, found[last] / last) if len(found) == 1 else _line(found)
        found[size] = measure(part, size)
    return _line(found)


def _line(found: dict[int, float]) -> Affine:
    (first, low), (last, high) = min(found.items()), max(found.items())
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return Affine(low - first * slope, slope)


def fit_memory_model(
    problem: Problem,
    bound: BoundFunction,
    method: Method,
    limit: float = math.inf,
) -> MemoryModel:
    """Measure what a method allocates on its first few directions, in one block.

    It is measured on those that keep within the limit, and on one.
    """
    if method.capabilities.max_directions == 1:
        return fit_chunked(problem, bound, method, MemoryModel(Affine(0, 0)))
    one_block = replace(method, chunk_size=None)

    def peak(part: Problem, _: int) -> int:
        return measured_peak(part, bound, one_block)

    fitted = fit_affine(problem, method, _probes(method, limit), peak, limit=limit)
    seeded = _seeded(problem, method, fitted)
    if first_directions(problem, method, 1).options != problem.options:
        fixed = seeded.fixed + problem.result_bytes
        seeded = Affine(fixed, seeded.per_direction)
    return MemoryModel(seeded)


def fit_chunked(
    problem: Problem,
    bound: BoundFunction,
    method: Method,
    model: MemoryModel,
    limit: float = math.inf,
) -> MemoryModel:
    """Measure what a pass allocates beside the result, in runs of two blocks."""

    def beside(part: Problem, chunk_size: int) -> int:
        chunked = replace(method, chunk_size=chunk_size)
        return measured_peak(part, bound, chunked) - part.result_bytes

    single = method.capabilities.max_directions == 1
    counts = (1,) if single else _probes(method, limit)
    fitted = fit_affine(problem, method, counts, beside, blocks=2, limit=limit)
    return replace(model, chunked=_seeded(problem, method, fitted))


def _probes(method: Method, limit: float) -> tuple[int, ...]:
    probes = PROBES if method.seeding == BASIS else COLOR_PROBES
    return probes if limit == math.inf else (1, *probes)


def measured_peak(problem: Problem, bound: BoundFunction, method: Method) -> int:
    """Measure the peak; of a method in slices, on the first two of them."""
    few, some = first_slices(problem, bound, method)
    sweep = Sweep(few, method)
    with peak_memory(problem.outputs[0].device) as peak:
        sweep.run(some)
    return peak.bytes + problem.result_bytes - few.result_bytes


def _seeded(problem: Problem, method: Method, fitted: Affine) -> Affine:
    """Add the bytes of a seed that the probes' directions do not have."""
    seeding = method.seeds(problem)
    fixed = fitted.fixed + seeding.check_bytes * problem.sample_count
    if method.capabilities.max_directions == 1:
        return Affine(fixed, fitted.per_direction)
    missing = seeding.missing_bytes(2 * PROBES[-1])
    return Affine(fixed, fitted.per_direction + missing)


def peak_on_fake_tensors(
    problem: Problem, bound: BoundFunction, method: Method
) -> int | None:
    """Predict the peak with one direction a pass, without computing or allocating.

    Returns:
        Bytes; `None` where the function cannot run on tensors without values.
    """
    if method.sample_policy is SamplePolicy.COUPLED_ROWS:
        return None  # even one row has a direction for every sample
    part = first_directions(problem, method, 1)
    part, bound = first_slices(part, bound, method)
    sweep = Sweep(part, method, on_fake_tensors=True)
    held = [t for m in bound.callee.modules for t in (*m.parameters(), *m.buffers())]
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            # What torch remembers of other runs may have another layout, which forward
            # mode does not take.
            mode.cache_enabled = False

            def fake(leaf: Any) -> Any:
                return mode.from_tensor(leaf) if isinstance(leaf, Tensor) else leaf

            leaves = tuple(map(fake, bound.leaves))
            existing = [*map(fake, held), *filter(torch.is_tensor, leaves)]
            # Fake tensors have no random state to compare either.
            on_fakes = replace(bound, leaves=leaves)
            with peak_memory(torch.device("cpu"), existing, fake=True) as peak:
                sweep.run(on_fakes)
    except (RuntimeError, NotImplementedError, TypeError):
        return None  # values are needed, or there is no fake kernel
    seeds = sum(spec.size * spec.dtype.itemsize for spec in sweep.seeded)
    return peak.bytes + seeds - part.result_bytes + problem.result_bytes


def first_directions(problem: Problem, method: Method, count: int) -> Problem:
    """Return the part of a problem that a method's first directions compute."""
    return method.seeding.first(problem, method.capabilities.mode, count)


def first_slices(
    problem: Problem, bound: BoundFunction, method: Method
) -> tuple[Problem, BoundFunction]:
    """Return the problem of a method's first two slices of samples.

    Those after them take the same again, unless their graphs are kept.
    """
    parts = sample_slices(problem, method.sample_policy, method.slice_size)
    if len(parts) <= 2 or problem.options.create_graph:
        return problem, bound
    count = 2 * max(part.stop - part.start for part in parts)
    return at_samples(problem, bound, slice(0, count))
