"""The cotangents that arrive at places inside a graph, many directions at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges


def arriving_cotangents(
    outputs: Tensors,
    edges: Sequence[GradientEdge],
    seeds: Tensors,
    *,
    vectorisation: Vectorisation,
    create_graph: bool,
) -> tuple[Tensor | None, ...]:
    """Pull cotangents `(K, ...)` back to edges of a graph; `None` where none lead."""
    if seeds[0].shape[0] > 1 and vectorisation != "none":
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
    count = seeds[0].shape[0]
    if create_graph or count == 1:
        return tuple(_stacked(parts) for parts in zip(*each, strict=True))
    return _collected(each, len(edges), count)


def _collected(
    each: Iterable[tuple[Tensor | None, ...]], edges: int, count: int
) -> tuple[Tensor | None, ...]:
    """Put what arrives for each direction together as it comes, and drop it.

    Directions lie behind the first axis: that is where the samples are, in most layers,
    whose contractions have samples first.
    """
    found: list[Tensor | None] = [None] * edges
    for k, parts in enumerate(each):
        for i, part in enumerate(parts):
            there = found[i]
            if there is None and part is not None:
                axis = min(1, part.dim())
                shape = (*part.shape[:axis], count, *part.shape[axis:])
                # Nothing may have arrived for the directions before.
                made = part.new_zeros(shape) if k else part.new_empty(shape)
                there = found[i] = made.movedim(axis, 0)
            if there is not None:
                there[k] = 0 if part is None else part
    return tuple(found)


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Stack what arrived for each direction; where nothing did, there are zeros."""
    some = next((part for part in parts if part is not None), None)
    if some is None:
        return None
    if len(parts) == 1:
        return some.unsqueeze(0)
    return torch.stack([torch.zeros_like(some) if p is None else p for p in parts])
