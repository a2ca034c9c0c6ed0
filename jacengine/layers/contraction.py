"""From the cotangents that arrive at a call to the blocks of its unit's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from jacengine._torchfunc import Tensors
from jacengine.layers.assignment import Handling
from jacengine.layers.rerun import pull_each, rerun
from jacengine.layers.visits import Visit

Piece = Callable[[Tensor | None], Tensor]
"""One contribution to a block `(K, S, *param)`, written into what it is given."""

Contractor = Callable[[Sequence[Tensor | None]], dict[int, Piece]]
"""From the cotangents `(K, *output)` of a call's outputs to pieces, by parameter."""


def contractor(
    module: nn.Module,
    visit: Visit,
    handling: Handling,
    primals: Tensors,
    batch_size: int | None,
    *,
    create_graph: bool,
) -> Contractor:
    """Make the contractor of one captured call.

    Args:
        module: The unit's module.
        visit: The call.
        handling: How it is contracted.
        primals: All parameters that are differentiated, tracked.
        batch_size: The number of samples to keep apart.
        create_graph: Whether pieces must be differentiable in turn.

    Raises:
        RuntimeError: An argument of the call was overwritten since, so its value is
            lost.
    """
    if not visit.untouched:
        raise RuntimeError(
            f"an input of {type(module).__name__} {visit.unit.path!r} is overwritten "
            "in place after the layer has read it"
        )
    if handling.rule is not None:
        return _by_rule(module, visit, handling, create_graph=create_graph)
    assert handling.separation is not None
    own = tuple(
        primals[index] if create_graph else primals[index].detach().requires_grad_()
        for index, _ in visit.unit.parameters
    )
    again = rerun(module, visit, handling.separation)
    axes = handling.separation.outputs

    def pieces(arriving: Sequence[Tensor | None]) -> dict[int, Piece]:
        seeds = [
            None if g is None else g.movedim(axis + 1, 1)
            for g, axis in zip(arriving, axes, strict=True)
        ]
        found = again.pull(own, seeds, create_graph=create_graph)
        return {
            index: given(block)
            for (index, _), block in zip(visit.unit.parameters, found, strict=True)
        }

    return pieces


def _by_rule(
    module: nn.Module, visit: Visit, handling: Handling, *, create_graph: bool
) -> Contractor:
    x = ruled_input(module, visit, handling, create_graph=create_graph)

    def pieces(arriving: Sequence[Tensor | None]) -> dict[int, Piece]:
        g = ruled_cotangent(module, visit, handling, arriving)

        def piece(name: str) -> Piece:
            contract = handling.way(name)

            def written(out: Tensor | None) -> Tensor:
                into = None if out is None else out.transpose(0, 1)
                return contract(module, x, g, into).transpose(0, 1)

            return written

        return {index: piece(name) for index, name in visit.unit.parameters}

    return pieces


def ruled_input(
    module: nn.Module, visit: Visit, handling: Handling, *, create_graph: bool
) -> Tensor:
    """Return what a call took in, `(s, n, *own)`, as rules expect it."""
    assert handling.rule is not None
    assert handling.placement is not None
    x = visit.tensors[0] if create_graph else visit.tensors[0].detach()
    return handling.placement.front(x, handling.rule.axes_in(module, x.dim()))


def ruled_cotangent(
    module: nn.Module,
    visit: Visit,
    handling: Handling,
    arriving: Sequence[Tensor | None],
) -> Tensor:
    """Return the cotangents of a call's output, `(s, k, n, *own)`."""
    assert handling.rule is not None
    assert handling.placement is not None
    own = handling.rule.axes_out(module, len(visit.shapes[0]))
    cotangent = arriving[0]
    assert cotangent is not None
    return handling.placement.front(cotangent, own, skip=1).transpose(0, 1)


def given(block: Tensor) -> Piece:
    """Make a piece of a block that is there already."""
    return lambda out: block if out is None else out.copy_(block)


def through_the_graph(
    outputs: Tensors,
    primal: Tensor,
    seeds: Tensors,
    batch_size: int | None,
    *,
    create_graph: bool,
) -> Tensor:
    """Pull cotangents back to one parameter, keeping samples apart by their seeds.

    Returns:
        `(K, S, *param)`.
    """
    if batch_size is None:
        found = pull_each(outputs, (primal,), seeds, create_graph=create_graph)
        return found[0].unsqueeze(1)
    apart = tuple(_apart(seed, batch_size) for seed in seeds)
    count = seeds[0].shape[0]
    found = pull_each(outputs, (primal,), apart, create_graph=create_graph)
    by_sample: Tensor = found[0].unflatten(0, (count, batch_size))
    return by_sample


def _apart(seed: Tensor, batch_size: int) -> Tensor:
    """Turn cotangents `(K, B, ...)` into `(K * B, B, ...)`, one a sample."""
    eye = torch.eye(batch_size, dtype=seed.dtype, device=seed.device)
    eye = eye.view(1, batch_size, batch_size, *[1] * (seed.dim() - 2))
    return (seed.unsqueeze(1) * eye).flatten(0, 1)
