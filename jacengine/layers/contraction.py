"""From the cotangents that arrive at calls to the blocks of their parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.layers.capture import Captured
from jacengine.layers.per_sample_rerun import pull_each, rerun

Piece = Callable[[Tensor | None], Tensor]
"""One contribution to a block `(K, S, *param)`, written into what it is given."""

Cotangents = Sequence[Tensor | None]
"""What arrives at the outputs of one call, `(K, *output)` each."""

Contractor = Callable[[Sequence[Cotangents]], dict[int, Piece]]
"""From the cotangents of some calls to pieces, by parameter."""


def alike(seen: Captured) -> list[tuple[int, ...]]:
    """Group the calls that are one contraction: those of one layer, by its rule.

    Their positions are contracted together, so that J is written once however often a
    layer is called.
    """
    if len({id(visit.unit) for visit in seen.visits}) == len(seen.visits):
        return [(i,) for i in range(len(seen.visits))]
    groups: dict[tuple[object, ...], list[int]] = {}
    pairs = zip(seen.visits, seen.assignment.handlings, strict=True)
    for i, (visit, handling) in enumerate(pairs):
        key: tuple[object, ...] = (i,)
        if handling.rule is not None:
            x, g = visit.tensors[0].shape, visit.shapes[0]
            own_in = handling.rule.axes_in(visit.module, len(x))
            own_out = handling.rule.axes_out(visit.module, len(g))
            key = (visit.unit, x[len(x) - own_in :], g[len(g) - own_out :])
        groups.setdefault(key, []).append(i)
    return [tuple(group) for group in groups.values()]


def contractor(
    seen: Captured, members: Sequence[int], batch_size: int | None
) -> Contractor:
    """Make the contractor of captured calls that are alike.

    Args:
        seen: The forward pass.
        members: Which of its calls.
        batch_size: The number of samples to keep apart.

    Raises:
        RuntimeError: An argument of a call was overwritten since, so its value is lost.
    """
    for visit in (seen.visits[i] for i in members):
        if not visit.untouched:
            raise RuntimeError(
                f"an input of {type(visit.module).__name__} {visit.unit.path!r} is "
                "overwritten in place after the layer has read it"
            )
    if seen.assignment.handlings[members[0]].rule is not None:
        return _by_rule(seen, members)
    return _again(seen, members[0])


def _again(seen: Captured, member: int) -> Contractor:
    visit = seen.visits[member]
    separation = seen.assignment.handlings[member].separation
    assert separation is not None
    own = tuple(
        seen.primals[index]
        if seen.create_graph
        else seen.primals[index].detach().requires_grad_()
        for index, _ in visit.unit.parameters
    )
    again = rerun(visit, separation, create_graph=seen.create_graph)

    def pieces(arriving: Sequence[Cotangents]) -> dict[int, Piece]:
        if all(cotangent is None for cotangent in arriving[0]):
            return {}
        seeds = [
            None if g is None else g.movedim(axis + 1, 1)
            for g, axis in zip(arriving[0], separation.outputs, strict=True)
        ]
        found = again.pull(own, seeds, create_graph=seen.create_graph)
        return {
            index: given(block)
            for (index, _), block in zip(visit.unit.parameters, found, strict=True)
        }

    return pieces


def _by_rule(seen: Captured, members: Sequence[int]) -> Contractor:
    first, handling = seen.visits[members[0]], seen.assignment.handlings[members[0]]
    unit, module = first.unit, first.module
    inputs = [ruled_input(seen, i) for i in members]

    def pieces(arriving: Sequence[Cotangents]) -> dict[int, Piece]:
        # What does not reach the outputs has no cotangent.
        reached = [
            (x, ruled_cotangent(seen, i, cotangent))
            for i, x, (cotangent,) in zip(members, inputs, arriving, strict=True)
            if cotangent is not None
        ]
        if not reached:
            return {}
        x, g = reached[0]
        if len(reached) > 1:
            x = torch.cat([x for x, _ in reached], dim=1)
            g = torch.cat([g for _, g in reached], dim=2)

        def piece(name: str) -> Piece:
            contract = handling.implementation(name)

            def written(out: Tensor | None) -> Tensor:
                into = None if out is None else out.transpose(0, 1)
                return contract(module, x, g, into).transpose(0, 1)

            part = unit.part
            return written if part is None else functools.partial(part.filled, written)

        return {index: piece(name) for index, name in unit.parameters}

    return pieces


def ruled_input(seen: Captured, member: int) -> Tensor:
    """Return what a call took in, `(s, n, *own)`, as rules expect it."""
    visit, handling = seen.visits[member], seen.assignment.handlings[member]
    assert handling.rule is not None
    assert handling.placement is not None
    x = visit.tensors[0] if seen.create_graph else visit.tensors[0].detach()
    own = handling.rule.axes_in(visit.module, x.dim())
    return handling.placement.front(x, own)


def ruled_cotangent(seen: Captured, member: int, cotangent: Tensor) -> Tensor:
    """Return the cotangents `(K, *output)` of a call, `(s, k, n, *own)`."""
    visit, handling = seen.visits[member], seen.assignment.handlings[member]
    assert handling.rule is not None
    assert handling.placement is not None
    own = handling.rule.axes_out(visit.module, len(visit.shapes[0]))
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
