"""Per-sample rerun of a layer without a rule.

The samples of a captured call are split, and the layer runs again for each of them,
under vmap or in a loop where it has no batching rule; a VJP of each sample's run keeps
the samples apart. Recurrent layers are unrolled. The outputs must be those that were
captured, or the samples were split wrongly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._torch_private import changes_gradients
from jacengine._torchfunc import Tensors, call_with_parameters, pull, vjp, vmap
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.rnn_contraction import UnrolledRerun, rnn_sample_axes
from jacengine.tolerance import TOLERANCES

MOST_ATTEMPTS = 16
"""Splits of the samples of several arguments that are tried."""


@dataclass(frozen=True)
class SampleSplit:
    """How the samples of a call are split.

    Attributes:
        arguments: The sample axis of each tensor argument; `None`: shared.
        outputs: The sample axis of each output that requires gradients.
        mode: All samples at once in an unrolled layer, one by one under vmap, or in a
            loop.
    """

    arguments: tuple[int | None, ...]
    outputs: tuple[int, ...]
    mode: Literal["unrolled", "vmap", "loop"]


def candidate_splits(
    call: LayerCall, outputs: tuple[int, ...], batch_size: int
) -> Iterator[SampleSplit]:
    """List splits of the samples of a call, likeliest first."""
    recurrent = rnn_sample_axes(call)
    if recurrent is not None:
        yield SampleSplit(recurrent, outputs, "unrolled")
    if changes_gradients(call.module):
        return  # the cotangents have been through those hooks already
    options = [
        [*(axis for axis, size in enumerate(tensor.shape) if size == batch_size), None]
        for tensor in call.tensors
    ]
    for arguments in itertools.islice(itertools.product(*options), MOST_ATTEMPTS):
        yield SampleSplit(arguments, outputs, "vmap")
        yield SampleSplit(arguments, outputs, "loop")


@dataclass(frozen=True)
class PerSampleRerun:
    """A captured call that runs again, one sample at a time.

    Attributes:
        one: Maps a unit's parameters and one sample's tensor arguments to the sample's
            outputs.
        arguments: The tensor arguments that have samples, with them along axis 0.
        vectorised: Whether `one` runs under vmap.
    """

    one: Callable[[Tensors, Sequence[Tensor]], Tensors]
    arguments: tuple[Tensor, ...]
    vectorised: bool

    def vjp(
        self,
        parameters: Tensors,
        seeds: Sequence[Tensor | None],
        *,
        create_graph: bool,
    ) -> tuple[Tensors, Tensors]:
        """Run the call, and pull cotangents back to the parameters, sample by sample.

        Args:
            parameters: The unit's.
            seeds: `(K, B, *out)` for each output, `None` for one that none reaches.
            create_graph: Whether the result must be differentiable in turn.

        Returns:
            The outputs that have seeds, with samples along axis 0, and one tensor a
            parameter, `(K, B, *param)`.

        Raises:
            RuntimeError: An operator of the layer has a wrong batching rule.
        """
        reached = [i for i, seed in enumerate(seeds) if seed is not None]
        given = tuple(seed for seed in seeds if seed is not None)

        def run(values: Tensors, arguments: Sequence[Tensor]) -> Tensors:
            outputs = self.one(values, arguments)
            return tuple(outputs[i] for i in reached)

        if not self.vectorised:
            outputs, blocks = [], []
            for b in range(self.arguments[0].shape[0]):
                outputs.append(run(parameters, [x[b] for x in self.arguments]))
                seed = tuple(seed[:, b] for seed in given)
                blocks.append(
                    pull_each(outputs[-1], parameters, seed, create_graph=create_graph)
                )
            return _stack(outputs, 0), _stack(blocks, 1)
        # Not `no_grad`: fused kernels would then save nothing for the backward pass.
        own = parameters if create_graph else _detach(parameters)
        batch = self.arguments if create_graph else _detach(self.arguments)

        def of_sample(arguments: Tensors, seed: Tensors) -> tuple[Tensors, Tensors]:
            outputs, pullback = vjp(lambda *values: run(values, arguments), own)
            return outputs, vmap(pullback)(*seed)

        vectorised: tuple[Tensors, Tensors] = vmap(of_sample, (0, 1))(batch, given)
        size = (batch[0].shape[0], given[0].shape[0])
        shapes = [(*size, *parameter.shape) for parameter in parameters]
        if [tuple(block.shape) for block in vectorised[1]] != shapes:
            # As of PReLU in torch 2.13.
            raise RuntimeError("a batching rule gives cotangents of another shape")
        return vectorised[0], tuple(block.transpose(0, 1) for block in vectorised[1])


def _stack(each: Sequence[Tensors], dim: int) -> Tensors:
    return tuple(torch.stack(parts, dim) for parts in zip(*each, strict=True))


def _detach(tensors: Tensors) -> Tensors:
    return tuple(tensor.detach() for tensor in tensors)


def make_rerun(
    call: LayerCall, split: SampleSplit, *, create_graph: bool
) -> PerSampleRerun | UnrolledRerun:
    """Prepare a captured call to run again, its samples split.

    Args:
        call: The call.
        split: How to split the samples.
        create_graph: Whether what follows from it must be differentiable by the
            parameters of other units.
    """
    module = call.module
    leaves, structure = pytrees.flatten((call.args, call.kwargs))
    positions = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    own = [
        (i, axis)
        for i, axis in zip(positions, split.arguments, strict=True)
        if axis is not None
    ]
    names = tuple(name for _, name in call.unit.parameters)
    batch = tuple(leaves[i].movedim(axis, 0) for i, axis in own)
    if split.mode == "unrolled":
        assert isinstance(module, nn.RNNBase)
        return UnrolledRerun(module, names, call.output_leaves, batch)

    others: dict[str, Tensor] = {}
    if not create_graph:
        every = module.named_parameters()
        others = {k: p.detach() for k, p in every if p.requires_grad}

    def one(values: Tensors, arguments: Sequence[Tensor]) -> Tensors:
        filled = list(leaves)
        for (i, axis), tensor in zip(own, arguments, strict=True):
            filled[i] = tensor.unsqueeze(axis)
        args, kwargs = structure.unflatten(filled)
        replaced = others | dict(zip(names, values, strict=True))
        returned = call_with_parameters(module, replaced, args, kwargs)
        made = pytrees.flatten(returned)[0]
        return tuple(
            made[i].squeeze(axis)
            for i, axis in zip(call.output_leaves, split.outputs, strict=True)
        )

    return PerSampleRerun(one, batch, split.mode == "vmap" and bool(batch))


def pull_each(
    outputs: Tensors, primals: Tensors, seeds: Tensors, *, create_graph: bool
) -> Tensors:
    """Pull `K` cotangents back at once, or one by one where vmap fails."""
    try:
        return pull(outputs, primals, seeds, batched=True, create_graph=create_graph)
    except (RuntimeError, NotImplementedError):
        each = [
            pull(outputs, primals, one, create_graph=create_graph)
            for one in zip(*seeds, strict=True)
        ]
        return _stack(each, 0)


def reproduces(call: LayerCall, split: SampleSplit, outputs: Tensors) -> bool:
    """Tell whether a rerun gave the captured outputs."""
    for captured, axis, again in zip(call.outputs, split.outputs, outputs, strict=True):
        wanted = captured.detach().movedim(axis, 0)
        tolerance = TOLERANCES[wanted.dtype].projection
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
