"""The cotangents that arrive at places inside a graph, many directions at once."""

from __future__ import annotations

from collections.abc import Sequence

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
    each = [
        pull_to_edges(
            outputs, edges, one, vectorisation="none", create_graph=create_graph
        )
        for one in zip(*seeds, strict=True)
    ]
    return tuple(_stacked(parts) for parts in zip(*each, strict=True))


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Stack what arrived for each direction; where nothing did, there are zeros."""
    some = next((part for part in parts if part is not None), None)
    if some is None:
        return None
    if len(parts) == 1:
        return some.unsqueeze(0)
    return torch.stack([torch.zeros_like(some) if p is None else p for p in parts])
