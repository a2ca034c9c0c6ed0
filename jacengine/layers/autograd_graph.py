"""The autograd graph: its edges, where parameters enter it, and VJPs to edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from jacengine._torch_private import axes_of
from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges


class ParameterNodes:
    """The nodes where parameters enter a graph: they made them, or accumulate."""

    def __init__(self, primals: Sequence[Tensor]) -> None:
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

    An edge: a node, the position of an argument, the node that made it, its output.
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


def vjp_at_edges(
    outputs: Tensors,
    edges: Sequence[GradientEdge],
    seeds: Tensors,
    *,
    vectorisation: Vectorisation,
    create_graph: bool,
) -> tuple[Tensor | None, ...]:
    """Pull cotangents `(K, ...)` back to edges; `None` at those that none reaches."""
    count = seeds[0].shape[0]
    if count > 1 and vectorisation != "none":
        return pull_to_edges(
            outputs,
            edges,
            seeds,
            vectorisation=vectorisation,
            create_graph=create_graph,
        )
    each = (
        pull_to_edges(
            outputs, edges, one, vectorisation="none", create_graph=create_graph
        )
        for one in zip(*seeds, strict=True)
    )
    if create_graph or count == 1:
        return tuple(_stack(parts) for parts in zip(*each, strict=True))
    return _collect(each, len(edges), count)


def _collect(
    each: Iterable[tuple[Tensor | None, ...]], edges: int, count: int
) -> tuple[Tensor | None, ...]:
    """Write the cotangents of each direction into one tensor an edge, one by one.

    Directions are stored behind the first axis, which is that of the samples in most
    layers: contractions have samples first.
    """
    found: list[Tensor | None] = [None] * edges
    for k, parts in enumerate(each):
        for i, part in enumerate(parts):
            stored = found[i]
            if stored is None and part is not None:
                axis = min(1, part.dim())
                shape = (*part.shape[:axis], count, *part.shape[axis:])
                # The directions before may not have reached the edge.
                made = part.new_zeros(shape) if k else part.new_empty(shape)
                stored = found[i] = made.movedim(axis, 0)
            if stored is not None:
                stored[k] = 0 if part is None else part
    return tuple(found)


def _stack(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Stack the cotangents of each direction; missing ones are zero."""
    some = next((part for part in parts if part is not None), None)
    if some is None:
        return None
    if len(parts) == 1:
        return some.unsqueeze(0)
    return torch.stack([torch.zeros_like(some) if p is None else p for p in parts])
