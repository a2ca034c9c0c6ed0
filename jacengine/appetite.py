"""How much memory a method takes, as an affine function of the directions a pass.

    peak(c) = fixed + c * per_direction + the result, unless a product becomes it

Fitted to runs on the first two and the first four directions, which do everything that
the whole does, only less of it; or, where even that may be too much, predicted by the
same runs on fake tensors, which have sizes and no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from jacengine.accumulate import accumulate
from jacengine.batching import Batching
from jacengine.call import Call
from jacengine.interface import Pushforward
from jacengine.measure import peak_memory
from jacengine.method import Method
from jacengine.problem import Problem
from jacengine.seeding import balanced

PROBES = (2, 4)
"""Rows or columns of the two runs that the model is fitted to."""


@dataclass(frozen=True)
class Appetite:
    """Peak memory of a run that is one block.

    Attributes:
        fixed: Bytes that do not depend on the directions.
        per_direction: Bytes for each, its share of the result included.
    """

    fixed: float
    per_direction: float

    def peak(self, problem: Problem, method: Method, chunk_size: int) -> int:
        """Predict the peak of a whole Jacobian in chunks."""
        directions = max(1, method.directions(problem))
        whole = problem.result_bytes
        one_block = self.fixed + min(chunk_size, directions) * self.per_direction
        if chunk_size >= directions and method.batching is not Batching.LOOP:
            return round(one_block)
        # Beside the product of a block there is all of the result; a single block's
        # own share of it was counted unless the product became the result.
        share = min(chunk_size, directions) * whole / directions
        if method.batching is Batching.LOOP:
            share /= problem.sample_count
        counted = 0.0 if _adopts(problem, method) else share
        return round(one_block - counted + whole)

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


def appetite(problem: Problem, call: Call, method: Method) -> Appetite:
    """Measure what a method allocates on its first few directions."""
    device = problem.outputs[0].device
    peaks: list[tuple[int, int]] = []
    for count in PROBES:
        part = narrowed(problem, method, count)
        if peaks and peaks[-1][0] == method.directions(part):
            break
        one_block = (
            method if method.strategy.single else replace(method, chunk_size=None)
        )
        with peak_memory(device) as peak:
            accumulate(part, call, one_block)
        peaks.append((method.directions(part), peak.bytes))
    return _fitted(problem, method, peaks)


def fake_peak(problem: Problem, call: Call, method: Method) -> int | None:
    """Predict the peak with one direction a pass, without computing or allocating.

    Returns:
        Bytes; `None` where the function cannot run on tensors without values.
    """
    part = narrowed(problem, method, 1)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:

            def fake(leaf: Any) -> Any:
                return mode.from_tensor(leaf) if isinstance(leaf, Tensor) else leaf

            leaves = tuple(map(fake, call.leaves))
            with peak_memory(torch.device("cpu")) as peak:
                accumulate(part, replace(call, leaves=leaves), method)
    except Exception:
        return None
    needs = Appetite(peak.bytes - part.result_bytes, part.result_bytes)
    return needs.peak(problem, method, 1)


def narrowed(problem: Problem, method: Method, count: int) -> Problem:
    """Return the problem of the first few rows or columns, as the method goes."""
    if isinstance(method.strategy, Pushforward):
        columns = _first(problem.columns, problem.column_count, count)
        return replace(problem, columns=columns)
    return replace(problem, rows=_first(problem.rows, problem.row_count, count))


def _first(chosen: Tensor | None, available: int, count: int) -> Tensor:
    return (torch.arange(available) if chosen is None else chosen)[:count]


def _fitted(
    problem: Problem, method: Method, peaks: Sequence[tuple[int, int]]
) -> Appetite:
    (first, low), (last, high) = peaks[0], peaks[-1]
    if method.strategy.single:
        # The block is one direction whatever the run; only the result grew.
        share = problem.result_bytes / max(1, method.directions(problem))
        if method.batching is Batching.LOOP:
            share /= problem.sample_count
        return Appetite(max(0.0, low - first * share), share)
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return Appetite(max(0.0, low - first * slope), slope)


def _adopts(problem: Problem, method: Method) -> bool:
    """Whether the product of a single block is taken over as the result, uncopied."""
    if problem.options.create_graph or method.batching is Batching.LOOP:
        return False
    apart = problem.batch_size is not None and method.batching is not Batching.JOINT
    return not isinstance(method.strategy, Pushforward) and not apart
