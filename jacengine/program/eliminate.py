"""The Jacobian of a program: factors of its segments, multiplied in a given order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from jacengine._torchfunc import vmap
from jacengine.program.chain import Segment, chain, size_of
from jacengine.program.elimination_order import Kind, Order, cheapest_order
from jacengine.program.local_jacobians import (
    Factor,
    Identity,
    add,
    dense,
    local_jacobian,
)
from jacengine.program.operators import shape_of
from jacengine.program.program import Program


@dataclass(frozen=True)
class Elimination:
    """A program whose Jacobian by one input is formed by elimination.

    Attributes:
        program: The program.
        start: The input.
        segments: Its chain.
        order: In which order these are multiplied.
    """

    program: Program
    start: Node
    segments: tuple[Segment, ...]
    order: Order

    @classmethod
    def of(cls, program: Program, place: int, samples: int) -> Elimination:
        """Plan the elimination.

        Args:
            program: The program, of one sample.
            place: The place of the input to differentiate by.
            samples: How many samples it will be run for at once.

        Raises:
            UnsupportedError: The output does not depend on the input.
        """
        start = program.inputs[place]
        segments = chain(program, start)
        return cls(program, start, segments, cheapest_order(segments, samples))

    def jacobian(self, values: Sequence[Any]) -> Tensor:
        """Return the Jacobian `(m, n)` where the inputs have these values."""
        found = self.program.evaluate(values)
        return dense(self._factor(0, len(self.segments), found))

    def __str__(self) -> str:
        """Describe the order: `<` pulls back, `>` pushes forward, `x` multiplies."""
        return self._words(0, len(self.segments))

    def _words(self, i: int, j: int) -> str:
        step = self.order[i, j]
        if i == j:
            return ""
        if step.split is not None:
            return f"({self._words(step.split, j)} x {self._words(i, step.split)})"
        return (
            self._words(i + 1, j) + "<" if step.pulls else self._words(i, j - 1) + ">"
        )

    def _factor(self, i: int, j: int, values: dict[Node, Any]) -> Factor:
        """Return the Jacobian between two cuts."""
        if i == j:
            cuts = [self.start, *(segment.end for segment in self.segments)]
            return Identity(values[cuts[i]])
        step = self.order[i, j]
        if step.split is not None:
            left = dense(self._factor(step.split, j, values))
            right = dense(self._factor(i, step.split, values))
            if self.order[step.split, j].kind is Kind.SHARED:
                # One product for all samples, and not one each, under vmap.
                return (right.t() @ left.t()).t()
            return left @ right
        if step.pulls:
            return _pull(self.segments[i], self._factor(i + 1, j, values), values)
        return _push(self.segments[j - 1], self._factor(i, j - 1, values), values)


def _pull(segment: Segment, rows: Factor, values: dict[Node, Any]) -> Factor:
    """Multiply rows with the Jacobian of a segment."""
    if not segment.has_rules:
        matrix, end = dense(rows), shape_of(segment.end)
        function, start = segment.function(values), values[segment.start]
        pullback = torch.func.vjp(function, start)[1]
        (found,) = vmap(pullback)(matrix.reshape(matrix.shape[0], *end))
        pulled: Tensor = found.reshape(matrix.shape[0], start.numel())
        return pulled
    inside = {segment.start, *segment.operators}
    at: dict[Node, Factor] = {segment.end: rows}
    for node in reversed(segment.operators):
        if node not in at:
            continue
        given = at.pop(node)
        active = [operand for operand in node.all_input_nodes if operand in inside]
        for operand in active:
            local = local_jacobian(node, operand, active, values)
            at[operand] = add(at.get(operand), local.pull(given))
    return at[segment.start]


def _push(segment: Segment, columns: Factor, values: dict[Node, Any]) -> Factor:
    """Multiply the Jacobian of a segment with columns."""
    if not segment.has_rules:
        matrix = dense(columns)
        function, start = segment.function(values), values[segment.start]

        def product(tangent: Tensor) -> Tensor:
            found: Tensor = torch.func.jvp(function, (start,), (tangent,))[1]
            return found

        count = matrix.shape[1]
        pushed: Tensor = vmap(product)(matrix.t().reshape(count, *start.shape))
        return pushed.reshape(count, size_of(segment.end)).t()
    inside = {segment.start, *segment.operators}
    at: dict[Node, Factor] = {segment.start: columns}
    for node in segment.operators:
        active = [operand for operand in node.all_input_nodes if operand in inside]
        total: Factor | None = None
        for operand in active:
            local = local_jacobian(node, operand, active, values)
            total = add(total, local.push(at[operand]))
        assert total is not None
        at[node] = total
    return at[segment.end]
