"""VJPs to edges inside a graph, for many directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges


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
