"""A layer without a rule, run again sample by sample.

The samples of a captured call are taken apart, each gets its own copy of the layer's
parameters, and the layer runs again, vectorised over samples or in a loop where it has
no batching rule. The outputs must be those that were captured, or the way of taking the
samples apart was wrong. An ordinary VJP of this run keeps the samples apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jacengine import trees
from jacengine._torchfunc import Tensors, call_with_parameters, vmap
from jacengine.layers.visits import Visit

MOST_ATTEMPTS = 16
"""Ways of taking the samples of several arguments apart that are tried."""


@dataclass(frozen=True)
class Separation:
    """How the samples of a call are taken apart.

    Attributes:
        arguments: The axis of samples of each tensor argument; `None`: shared.
        outputs: The axis of samples of each output that carries a graph.
        vectorised: Under vmap, or in a loop.
    """

    arguments: tuple[int | None, ...]
    outputs: tuple[int, ...]
    vectorised: bool


def separations(
    visit: Visit, outputs: tuple[int, ...], batch_size: int
) -> Iterator[Separation]:
    """List ways to take the samples of a call apart, likeliest first."""
    options: list[list[int | None]] = []
    for tensor in visit.tensors:
        axes = [axis for axis, size in enumerate(tensor.shape) if size == batch_size]
        options.append([*axes, None])
    attempts = itertools.islice(itertools.product(*options), MOST_ATTEMPTS)
    for arguments in attempts:
        for vectorised in (True, False):
            yield Separation(arguments, outputs, vectorised)


def rerun(
    module: nn.Module, visit: Visit, separation: Separation, parameters: Tensors
) -> Tensors:
    """Run a captured call again with each sample's own parameters.

    Args:
        module: The unit's module.
        visit: Its call.
        separation: How to take the samples apart.
        parameters: One an entry of the unit's parameters, `(B, *param)`.

    Returns:
        The outputs that carry a graph, `(B, *out)` with the axis of samples in front.
    """
    leaves, structure = trees.flatten((visit.args, visit.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    own = [
        (place, axis)
        for place, axis in zip(places, separation.arguments, strict=True)
        if axis is not None
    ]
    names = [name for _, name in visit.unit.parameters]

    def one(values: Tensors, tensors: list[Tensor]) -> Tensors:
        filled = list(leaves)
        for (place, axis), tensor in zip(own, tensors, strict=True):
            filled[place] = tensor.unsqueeze(axis)
        args, kwargs = structure.unflatten(filled)
        replaced = dict(zip(names, values, strict=True))
        returned = call_with_parameters(module, replaced, args, kwargs)
        made = trees.flatten(returned)[0]
        return tuple(
            made[place].squeeze(axis)
            for place, axis in zip(visit.places, separation.outputs, strict=True)
        )

    fronts = [leaves[place].movedim(axis, 0) for place, axis in own]
    if separation.vectorised:
        run = vmap(one)
        outputs: Tensors = run(parameters, fronts)
        return outputs
    each = [
        one(tuple(p[b] for p in parameters), [f[b] for f in fronts])
        for b in range(parameters[0].shape[0])
    ]
    return tuple(torch.stack(parts) for parts in zip(*each, strict=True))


def reproduces(visit: Visit, separation: Separation, outputs: Tensors) -> bool:
    """Tell whether a second run gave the captured outputs."""
    for captured, axis, again in zip(
        visit.outputs, separation.outputs, outputs, strict=True
    ):
        wanted = captured.detach().movedim(axis, 0)
        tolerance = 10 * torch.finfo(wanted.dtype).eps ** 0.75
        scale = float(wanted.abs().max()) if wanted.numel() else 0.0
        if again.shape != wanted.shape or not torch.allclose(
            again.detach(),
            wanted,
            rtol=tolerance,
            atol=tolerance * scale,
            equal_nan=True,
        ):
            return False
    return True
