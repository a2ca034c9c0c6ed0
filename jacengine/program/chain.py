"""The cuts of a program: single tensors that every path from input to output crosses.

Between two cuts lies a segment, and the Jacobian is the product of those of the
segments. Cuts are found in one walk: an operator is one if no value that depends on the
input is used after it but its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import Node

from jacengine.errors import UnsupportedError
from jacengine.program.local_jacobians import has_rule
from jacengine.program.operators import STOP, aten, run_node, shape_of
from jacengine.program.program import Program

SHAPE_ONLY = frozenset(
    {
        *(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default),
        *(aten.empty_like.default, aten.new_zeros.default, aten.new_ones.default),
        *(aten.new_full.default, aten.new_empty.default),
    }
)
"""Operators that read nothing of their operand but its shape."""
NARROW = 0.5
"""A cut between segments without rules is kept if it is narrower than its neighbours by
this factor; else they are differentiated as one."""


@dataclass(frozen=True)
class Segment:
    """The operators between two cuts.

    Attributes:
        start: The cut that it begins at.
        end: The cut that it ends with, the last of its operators.
        operators: The operators on paths between them, in order.
        has_rules: Whether each has a local Jacobian in closed form.
    """

    start: Node
    end: Node
    operators: tuple[Node, ...]
    has_rules: bool

    def function(self, values: dict[Node, Any]) -> Any:
        """Return the segment as a function of its start, others having these values."""

        def run(start: Tensor) -> Tensor:
            own = {**values, self.start: start}
            for node in self.operators:
                own[node] = run_node(node, own)
            found: Tensor = own[self.end]
            return found

        return run


def size_of(node: Node) -> int:
    """Count the entries of a node's value."""
    return math.prod(shape_of(node))


def chain(program: Program, start: Node) -> tuple[Segment, ...]:
    """Split a program at its cuts.

    Args:
        program: The program.
        start: The input that is differentiated by.

    Raises:
        UnsupportedError: The output does not depend on the input.
    """
    if program.output is start:
        return ()
    active = _active(program, start)
    if program.output not in active:
        raise UnsupportedError("the output does not depend on the input")
    position = {node: i for i, node in enumerate(active)}
    last_use = {
        operand: i
        for i, node in enumerate(active)
        for operand in node.all_input_nodes
        if operand in position
    }
    segments: list[Segment] = []
    begun, reach = 0, -1
    for i, node in enumerate(active):
        value = node.meta.get("val")
        real = isinstance(value, Tensor) and value.is_floating_point()
        if i and reach <= i and real:
            segments.append(_segment(active, position, begun, i))
            begun = i
        reach = max(reach, last_use.get(node, i))
    return tuple(_merged(segments))


def _active(program: Program, start: Node) -> list[Node]:
    """List the nodes on differentiable paths from the input to the output."""
    reached = {start}
    for node in program.operators:
        blocked = node.target in SHAPE_ONLY or node.target is STOP
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            blocked |= not (value.is_floating_point() or value.is_complex())
        if not blocked and not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    needed = {program.output}
    for node in reversed(list(program.operators)):
        if node in needed:
            needed.update(node.all_input_nodes)
    nodes = (n for n in program.module.graph.nodes if n in reached and n in needed)
    return list(nodes)


def _segment(
    active: list[Node], position: dict[Node, int], begun: int, end: int
) -> Segment:
    operators = tuple(active[begun + 1 : end + 1])
    rules = all(
        has_rule(node, [x for x in node.all_input_nodes if x in position])
        for node in operators
    )
    return Segment(active[begun], active[end], operators, rules)


def _merged(segments: list[Segment]) -> list[Segment]:
    """Join neighbours without rules, unless the cut between them is narrow."""
    found: list[Segment] = []
    for segment in segments:
        before = found[-1] if found else None
        if before is None or before.has_rules or segment.has_rules:
            found.append(segment)
            continue
        widest = min(size_of(before.start), size_of(segment.end))
        if size_of(segment.start) < NARROW * widest:
            found.append(segment)
            continue
        operators = before.operators + segment.operators
        joined = Segment(before.start, segment.end, operators, has_rules=False)
        found[-1] = joined
    return found
