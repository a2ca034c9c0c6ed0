"""Typed edges of torch: the few calls whose own annotations are unions or `Any`.

Strategies use these and so stay readable under a strict type checker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from jacengine._torch_private import grad_of_directions, vmap_tensors, with_parameters

Tensors = tuple[Tensor, ...]
"""One tensor a leaf: primals, outputs, tangents or cotangents."""

Function = Callable[..., Tensors]
"""A function of the primals, given one by one, to the tuple of outputs."""


def vjp(function: Function, primals: Tensors) -> tuple[Tensors, Function]:
    """Return the outputs and the map from cotangents to input cotangents."""
    outputs, pull = torch.func.vjp(function, *primals)[:2]
    return outputs, lambda *cotangents: cast("Tensors", pull(cotangents))


def jvp(function: Function, primals: Tensors, tangents: Tensors) -> Tensors:
    """Return the output tangents."""
    return cast("Tensors", torch.func.jvp(function, primals, tangents)[1])


def vmap(function: Callable[..., Any], in_dims: Any = 0) -> Callable[..., Any]:
    """Vectorise; what random numbers the function draws is shared by all entries."""
    general: Callable[..., Any]
    general = torch.func.vmap(function, in_dims, randomness="same")
    if in_dims != 0:
        return general

    def vectorised(*arguments: Any) -> Any:
        sizes = {a.shape[:1] if isinstance(a, Tensor) else None for a in arguments}
        if len(sizes) != 1 or not sizes.isdisjoint({None, torch.Size()}):
            return general(*arguments)
        return vmap_tensors(function, arguments)

    return vectorised


def call_with_parameters(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call a module with some parameters replaced, tied names together."""
    return with_parameters(module, parameters)(*args, **kwargs)


Vectorisation = Literal["none", "legacy", "vmap"]
"""How many cotangents go through a recorded graph at once: one; many, by
`is_grads_batched`, which is a vmap of its own with fewer rules and less overhead; many,
by `torch.func.vmap`. Which is fastest depends on the operators in the graph."""


def pull_to_edges(
    outputs: Tensors,
    edges: Sequence[GradientEdge],
    cotangents: Tensors,
    *,
    vectorisation: Vectorisation,
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """Pull cotangents back to edges of the graph; `None` where they do not lead."""
    reached = [i for i, output in enumerate(outputs) if output.requires_grad]
    if not reached or not edges:
        return (None,) * len(edges)

    def pulled(*chosen: Tensor) -> tuple[Tensor | None, ...]:
        found = _grad(
            [outputs[i] for i in reached],
            edges,
            chosen,
            batched=vectorisation == "legacy",
            create_graph=create_graph,
        )
        return tuple(g if g is None else dense(g) for g in found)

    chosen = [cotangents[i] for i in reached]
    if vectorisation != "vmap":
        return pulled(*chosen)
    missing: list[bool] = []

    def found(*chosen: Tensor) -> Tensors:
        every = pulled(*chosen)
        missing[:] = [cotangent is None for cotangent in every]
        return tuple(cotangent for cotangent in every if cotangent is not None)

    there = iter(vmap(found)(*chosen))
    return tuple(None if absent else next(there) for absent in missing)


def pull(
    outputs: Tensors,
    primals: Tensors,
    cotangents: Tensors,
    *,
    batched: bool = False,
    create_graph: bool = False,
) -> Tensors:
    """Pull cotangents back through a recorded graph, which is kept.

    Args:
        outputs: What the graph leads to.
        primals: What it starts from.
        cotangents: One an output, each of its shape, with a leading axis of
            directions when `batched`.
        batched: Pull all directions back in one vectorised pass.
        create_graph: Record the pass itself.

    Returns:
        One cotangent a primal; zeros where the outputs do not depend on it.
    """
    reached = [i for i, output in enumerate(outputs) if output.requires_grad]
    found: tuple[Tensor | None, ...] = (None,) * len(primals)
    if reached and primals:
        found = _grad(
            [outputs[i] for i in reached],
            primals,
            [cotangents[i] for i in reached],
            batched=batched,
            create_graph=create_graph,
        )
    directions = cotangents[0].shape[:1] if batched else torch.Size()
    return tuple(
        primal.new_zeros(()).expand(directions + primal.shape)
        if g is None
        else dense(g)
        for primal, g in zip(primals, found, strict=True)
    )


def _grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor | GradientEdge],
    cotangents: Sequence[Tensor],
    *,
    batched: bool,
    create_graph: bool,
) -> tuple[Tensor | None, ...]:
    if batched:
        return grad_of_directions(
            outputs, inputs, cotangents, create_graph=create_graph
        )
    found = torch.autograd.grad(
        outputs,
        cast("Tensors", inputs),
        cotangents,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )
    return cast("tuple[Tensor | None, ...]", found)


def dense(gradient: Tensor) -> Tensor:
    """Return a gradient as a dense tensor; `Embedding(sparse=True)` makes others."""
    return gradient if gradient.layout == torch.strided else gradient.to_dense()
