"""A layer without a rule, run again with its samples kept apart.

The samples of a captured call are taken apart, and the layer runs again for each of
them, under vmap or in a loop where it has no batching rule; a VJP of each sample's run
keeps the samples apart. Recurrent layers run step by step. The outputs must be those
that were captured, or the way of taking the samples apart was wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import changes_gradients
from jacengine._torchfunc import Tensors, call_with_parameters, pull, vjp, vmap
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.rnn_contraction import Steps, sample_axes

MOST_ATTEMPTS = 16
"""Ways of taking the samples of several arguments apart that are tried."""


@dataclass(frozen=True)
class SampleSplit:
    """How the samples of a call are taken apart.

    Attributes:
        arguments: The axis of samples of each tensor argument; `None`: shared.
        outputs: The axis of samples of each output that carries a graph.
        way: All samples at once in steps, one by one under vmap, or in a loop.
    """

    arguments: tuple[int | None, ...]
    outputs: tuple[int, ...]
    way: Literal["steps", "vmap", "loop"]


def separations(
    visit: LayerCall, outputs: tuple[int, ...], batch_size: int
) -> Iterator[SampleSplit]:
    """List ways to take the samples of a call apart, likeliest first."""
    recurrent = sample_axes(visit)
    if recurrent is not None:
        yield SampleSplit(recurrent, outputs, "steps")
    if changes_gradients(visit.module):
        return  # what arrives has been through those hooks already
    options: list[list[int | None]] = []
    for tensor in visit.tensors:
        axes = [axis for axis, size in enumerate(tensor.shape) if size == batch_size]
        options.append([*axes, None])
    attempts = itertools.islice(itertools.product(*options), MOST_ATTEMPTS)
    for arguments in attempts:
        yield SampleSplit(arguments, outputs, "vmap")
        yield SampleSplit(arguments, outputs, "loop")


@dataclass(frozen=True)
class Rerun:
    """A captured call that runs again, one sample at a time.

    Attributes:
        one: Maps a unit's parameters and one sample's share of the tensor arguments to
            the sample's outputs.
        shares: The tensor arguments that have samples, with them along axis 0.
        vectorised: Whether `one` runs under vmap.
    """

    one: Callable[[Tensors, Sequence[Tensor]], Tensors]
    shares: tuple[Tensor, ...]
    vectorised: bool

    def outputs(self, parameters: Tensors) -> Tensors:
        """Return what the call returned, with samples along axis 0."""
        if self.vectorised:

            def apart(share: Tensors) -> Tensors:
                # Recurrent layers run under vmap only if a transform records them.
                return vjp(lambda *v: self.one(v, share), _cut(parameters))[0]

            outputs: Tensors = vmap(apart)(_cut(self.shares))
            return outputs
        each = [self.one(parameters, share) for share in self._each()]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))

    def pull(
        self,
        parameters: Tensors,
        seeds: Sequence[Tensor | None],
        *,
        create_graph: bool,
    ) -> Tensors:
        """Pull cotangents back to the parameters, sample by sample.

        Args:
            parameters: The unit's.
            seeds: `(K, B, *out)` for each output, `None` for one that none arrive at.
            create_graph: Whether the result must be differentiable in turn.

        Returns:
            One tensor a parameter, `(K, B, *param)`.

        Raises:
            RuntimeError: An operator of the layer has a wrong batching rule.
        """
        reached = [i for i, seed in enumerate(seeds) if seed is not None]
        given = tuple(seed for seed in seeds if seed is not None)

        def run(values: Tensors, share: Sequence[Tensor]) -> Tensors:
            outputs = self.one(values, share)
            return tuple(outputs[i] for i in reached)

        if self.vectorised:
            # Not `no_grad`: fused kernels would then keep nothing for the way back.
            own = parameters if create_graph else _cut(parameters)
            shares = self.shares if create_graph else _cut(self.shares)

            def apart(share: Tensors, seed: Tensors) -> Tensors:
                _, pullback = vjp(lambda *values: run(values, share), own)
                found: Tensors = vmap(pullback)(*seed)
                return found

            blocks: Tensors = vmap(apart, (0, 1))(shares, given)
            size = (self.shares[0].shape[0], given[0].shape[0])
            shapes = [(*size, *parameter.shape) for parameter in parameters]
            if [tuple(block.shape) for block in blocks] != shapes:
                # As of PReLU in torch 2.13.
                raise RuntimeError("a batching rule gives cotangents of another shape")
            return tuple(block.transpose(0, 1) for block in blocks)
        each = [
            pull_each(
                run(parameters, share),
                parameters,
                tuple(seed[:, b] for seed in given),
                create_graph=create_graph,
            )
            for b, share in enumerate(self._each())
        ]
        return tuple(torch.stack(parts, dim=1) for parts in zip(*each, strict=True))

    def _each(self) -> Iterator[list[Tensor]]:
        count = self.shares[0].shape[0]
        return ([share[b] for share in self.shares] for b in range(count))


def _cut(tensors: Tensors) -> Tensors:
    return tuple(tensor.detach() for tensor in tensors)


def rerun(
    visit: LayerCall, separation: SampleSplit, *, create_graph: bool
) -> Rerun | Steps:
    """Make a captured call run again, its samples taken apart.

    Args:
        visit: The call.
        separation: How to take the samples apart.
        create_graph: Whether what follows from it must be differentiable by parameters
            that others answer for.
    """
    module = visit.module
    leaves, structure = pytrees.flatten((visit.args, visit.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    own = [
        (place, axis)
        for place, axis in zip(places, separation.arguments, strict=True)
        if axis is not None
    ]
    names = tuple(name for _, name in visit.unit.parameters)
    shares = tuple(leaves[place].movedim(axis, 0) for place, axis in own)
    if separation.way == "steps":
        assert isinstance(module, nn.RNNBase)
        return Steps(module, names, visit.places, shares)

    others: dict[str, Tensor] = {}
    if not create_graph:
        with TORCH_GLOBAL_LOCK:
            every = dict(module.named_parameters())
        others = {k: p.detach() for k, p in every.items() if p.requires_grad}

    def one(values: Tensors, share: Sequence[Tensor]) -> Tensors:
        filled = list(leaves)
        for (place, axis), tensor in zip(own, share, strict=True):
            filled[place] = tensor.unsqueeze(axis)
        args, kwargs = structure.unflatten(filled)
        replaced = others | dict(zip(names, values, strict=True))
        returned = call_with_parameters(module, replaced, args, kwargs)
        made = pytrees.flatten(returned)[0]
        return tuple(
            made[place].squeeze(axis)
            for place, axis in zip(visit.places, separation.outputs, strict=True)
        )

    return Rerun(one, shares, separation.way == "vmap" and bool(shares))


def pull_each(
    outputs: Tensors, primals: Tensors, seeds: Tensors, *, create_graph: bool
) -> Tensors:
    """Pull `K` cotangents back at once, or one by one where vmap cannot."""
    try:
        return pull(outputs, primals, seeds, batched=True, create_graph=create_graph)
    except (RuntimeError, NotImplementedError):
        each = [
            pull(outputs, primals, one, create_graph=create_graph)
            for one in zip(*seeds, strict=True)
        ]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True))


def reproduces(visit: LayerCall, separation: SampleSplit, outputs: Tensors) -> bool:
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
