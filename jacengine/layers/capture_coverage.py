"""Coverage: whether capture sees every use of a parameter.

A use is an edge of the autograd graph into the node where the parameter enters it. A
use inside a captured call is made by a node whose sequence number is in that call's
range. Hooks miss any other use (a weight taken by `F.linear` elsewhere, a parameter of
a container), which is found here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from jacengine._torch_private import axes_of, number_of
from jacengine.layers.hook_capture import LayerCall


class ParameterNodes:
    """The nodes where parameters enter a graph: they made them, or accumulate."""

    def __init__(self, primals: Sequence[Tensor]) -> None:
        """Index the nodes."""
        self._made: dict[object, int] = {
            p.grad_fn: i for i, p in enumerate(primals) if p.grad_fn is not None
        }
        self._leaves = {id(p): i for i, p in enumerate(primals) if p.grad_fn is None}

    def at(self, node: Node | None) -> int | None:
        """Return the parameter that enters at a node."""
        leaf = self._leaves.get(id(getattr(node, "variable", None)))
        return self._made.get(node, leaf)

    def of(self, output: Tensor) -> int | None:
        """Return the parameter that an output is."""
        return self._made.get(output.grad_fn, self._leaves.get(id(output)))


def graph_edges(
    outputs: Sequence[Tensor], nodes: ParameterNodes
) -> Iterator[tuple[Node, int, Node, int]]:
    """Yield the edges of a graph, back to where parameters enter it.

    An edge is a node, the position of an argument, the node that made the argument, and
    which of its outputs that is.
    """
    visited: set[Node] = set()
    waiting = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in visited or nodes.at(node) is not None:
            continue
        visited.add(node)
        for position, (target, number) in enumerate(node.next_functions):
            if target is not None:
                waiting.append(target)
                yield node, position, target, number


def uncovered_parameters(
    outputs: Sequence[Tensor], primals: Sequence[Tensor], calls: Sequence[LayerCall]
) -> set[int]:
    """Find the parameters with a use outside the captured calls of their unit.

    Args:
        outputs: The outputs of the graph.
        primals: The parameters, as the graph has them.
        calls: The captured calls.

    Returns:
        Their indices among the primals.
    """
    nodes = ParameterNodes(primals)
    covered: dict[int, list[range]] = {}
    for call in calls:
        for index, _ in call.unit.parameters:
            covered.setdefault(index, []).append(call.node_numbers)
    # An output may be a parameter itself.
    found = {i for i in map(nodes.of, outputs) if i is not None}
    for node, _, target, _ in graph_edges(outputs, nodes):
        entering = nodes.at(target)
        if entering is not None and not any(
            number_of(node) in numbers for numbers in covered.get(entering, ())
        ):
            found.add(entering)
    return found


def graph_fingerprint(outputs: Sequence[Tensor]) -> tuple[object, ...]:
    """Describe a graph: its operators, their axes, and its edges.

    Two passes of one function with the same shapes and the same graph treat their axes
    alike.
    """
    numbers: dict[object, int] = {}
    described: list[object] = []
    waiting: list[Any] = [output.grad_fn for output in reversed(outputs)]
    while waiting:
        node = waiting.pop()
        if node is None or node in numbers:
            described.append(numbers.get(node))
            continue
        numbers[node] = len(numbers)
        described.append((node.name(), *axes_of(node)))
        waiting += [target for target, _ in reversed(node.next_functions)]
    return tuple(described)
