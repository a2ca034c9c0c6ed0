"""The order in which the segments of a chain are multiplied, by dynamic programming.

The Jacobian between two cuts is pulled back or pushed forward through a segment at one
end, or is the product of two such Jacobians. The cheapest of these ways is known for
every pair of cuts once it is for all closer ones: the matrix chain problem, with
accumulation of the factors, U. Naumann, "Optimization of generalized Jacobian chain
products without memory constraints", 2020, https://arxiv.org/abs/2003.05755
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor
from torch.fx import Node

from jacengine.program.chain import Segment, size_of
from jacengine.program.local_jacobians import VIEWS, is_linear, is_pointwise
from jacengine.program.operators import shape_of

FLOPS, BYTES = 1e11, 8e9
"""Operations a second of a matrix product, and bytes a second of a pointwise pass: only
their ratio matters, and it is alike on most CPUs and accelerators."""
SWEEP = 30
"""Bytes that a segment without rules moves for each entry of a seed."""


class Kind(IntEnum):
    """What is known of a factor."""

    IDENTITY = 0
    DIAGONAL = 1
    SHARED = 2
    FULL = 3


@dataclass(frozen=True)
class Step:
    """How the Jacobian between two cuts is obtained.

    Attributes:
        cost: Seconds, by a model.
        kind: What results.
        split: The cut between the two factors of a product; `None`: one factor goes
            through a segment.
        pulls: Whether it goes through the first segment, backwards; else through the
            last one.
    """

    cost: float
    kind: Kind
    split: int | None = None
    pulls: bool = False


Order = dict[tuple[int, int], Step]
"""The step for every pair of cuts."""


def cheapest_order(segments: Sequence[Segment], samples: int) -> Order:
    """Find the cheapest order for a chain.

    Args:
        segments: The chain.
        samples: How many samples have a Jacobian each.

    Returns:
        The steps; that of the whole is at `(0, len(segments))`.
    """
    count = len(segments)
    steps: Order = {(i, i): Step(0.0, Kind.IDENTITY) for i in range(count + 1)}
    for width in range(1, count + 1):
        for i in range(count + 1 - width):
            ways = _ways(segments, steps, (i, i + width), samples)
            steps[i, i + width] = min(ways, key=lambda step: step.cost)
    return steps


def _ways(
    segments: Sequence[Segment], steps: Order, cuts: tuple[int, int], samples: int
) -> Iterator[Step]:
    """Yield the ways to the Jacobian between two cuts."""
    i, j = cuts
    sizes = [size_of(segments[0].start), *(size_of(s.end) for s in segments)]
    last = steps[i + 1, j]
    cost, kind = _through(segments[i], sizes[j], last.kind, samples, pulls=True)
    yield Step(last.cost + cost, kind, pulls=True)
    first = steps[i, j - 1]
    cost, kind = _through(segments[j - 1], sizes[i], first.kind, samples, pulls=False)
    # Columns of a row-major result are transposed into it in the end.
    placed = 6 * samples * sizes[i] * sizes[j] / BYTES if j == len(segments) else 0.0
    yield Step(first.cost + cost + (placed if i == 0 else 0.0), kind)
    for k in range(i + 1, j):
        left, right = steps[k, j], steps[i, k]
        if min(left.kind, right.kind) <= Kind.DIAGONAL:
            continue
        kind = Kind.SHARED if left.kind is right.kind is Kind.SHARED else Kind.FULL
        times = 1 if kind is Kind.SHARED else samples
        work = 2 * sizes[i] * sizes[k] * sizes[j] / FLOPS
        moved = 4 * sizes[i] * sizes[j] / BYTES
        yield Step(left.cost + right.cost + times * (work + moved), kind, split=k)


def _through(
    segment: Segment, rows: int, kind: Kind, samples: int, *, pulls: bool
) -> tuple[float, Kind]:
    """Model the cost of a factor of so many rows (or columns) through a segment."""
    if not segment.has_rules:
        entries = sum(_entries(node) for node in segment.operators)
        return SWEEP * samples * rows * entries / BYTES, Kind.FULL
    cost = 0.0
    operators = reversed(segment.operators) if pulls else segment.operators
    for node in operators:
        added, kind = _through_operator(node, rows, kind, samples)
        cost += added
    return cost, kind


def _through_operator(
    node: Node, rows: int, kind: Kind, samples: int
) -> tuple[float, Kind]:
    if node.target in VIEWS:
        return 0.0, kind
    entries = _entries(node)
    if is_pointwise(node):
        if kind <= Kind.DIAGONAL:
            return 4 * samples * entries / BYTES, Kind.DIAGONAL
        return 8 * samples * rows * entries / BYTES, Kind.FULL
    assert is_linear(node, [node.args[-2]])  # type: ignore[list-item]
    wide, narrow = shape_of(node.args[-1])  # type: ignore[arg-type]
    repeats = math.prod(shape_of(node)[:-1])
    if repeats == 1 and kind is Kind.IDENTITY:
        return 0.0, Kind.SHARED
    if repeats == 1 and kind is Kind.DIAGONAL:
        return 4 * samples * wide * narrow / BYTES, Kind.FULL
    shared = kind in {Kind.IDENTITY, Kind.SHARED}
    lines = rows * repeats * (1 if shared else samples)
    cost = 2 * lines * wide * narrow / FLOPS + 2 * lines * (wide + narrow) / BYTES
    return cost, Kind.SHARED if shared else Kind.FULL


def _entries(node: Node) -> int:
    value = node.meta.get("val")
    values = value if isinstance(value, (tuple, list)) else (value,)
    return sum(v.numel() for v in values if isinstance(v, Tensor))
