"""Per-sample rerun of a layer without a rule.

The samples of a captured call are split, and the layer runs again for each of them,
under vmap or in a loop where it has no batching rule; a VJP of each sample's run keeps
the samples apart. Recurrent layers are unrolled. The outputs must be those that were
captured, or the samples were split wrongly.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine._torch_private import changes_gradients
from jacengine._torchfunc import Tensors, call_with_parameters, pull, vjp, vmap
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.rnn_unroll import rnn_sample_axes, unrolled_rerun
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


Rerun = Callable[[Tensors, Mapping[int, Tensor]], tuple[Tensors, Tensors]]
"""Runs a call again with values of its unit's parameters, and pulls cotangents
`(K, B, *out)` of some of its outputs, by number, back sample by sample. Returns those
outputs, with samples along axis 0, and one tensor a parameter, `(K, B, *param)`."""


def make_rerun(call: LayerCall, split: SampleSplit, *, create_graph: bool) -> Rerun:
    """Prepare a captured call to run again, its samples split.

    The rerun raises a `RuntimeError` for a wrong batching rule of the layer. With
    `create_graph` it can be differentiated, also by parameters of other units.
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
    batch = batch if create_graph else _detach(batch)
    if split.mode == "unrolled":
        assert isinstance(module, nn.RNNBase)
        leaf_numbers = call.output_leaves
        return unrolled_rerun(
            module, names, leaf_numbers, batch, create_graph=create_graph
        )

    others: dict[str, Tensor] = {}
    if not create_graph:
        every = module.named_parameters()
        others = {k: p.detach() for k, p in every if p.requires_grad}

    def one(values: Tensors, arguments: Sequence[Tensor]) -> Tensors:
        """Run one sample."""
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

    rerun = _vectorised if split.mode == "vmap" and batch else _looped
    return functools.partial(rerun, one, batch, create_graph)


_One = Callable[[Tensors, Sequence[Tensor]], Tensors]


def _looped(
    one: _One,
    batch: Tensors,
    create_graph: bool,
    parameters: Tensors,
    seeds: Mapping[int, Tensor],
) -> tuple[Tensors, Tensors]:
    """Run one sample after the other."""
    outputs: list[Tensors] = []
    blocks: list[Tensors] = []
    for b in range(batch[0].shape[0]):
        every = one(parameters, [x[b] for x in batch])
        reached = tuple(every[i] for i in seeds)
        given = tuple(seed[:, b] for seed in seeds.values())
        outputs.append(reached)
        blocks.append(pull_each(reached, parameters, given, create_graph=create_graph))
    return _stack(outputs, 0), _stack(blocks, 1)


def _vectorised(
    one: _One,
    batch: Tensors,
    create_graph: bool,
    parameters: Tensors,
    seeds: Mapping[int, Tensor],
) -> tuple[Tensors, Tensors]:
    """Run all samples under vmap."""
    # Not `no_grad`: fused kernels would then save nothing for the backward pass.
    own, given = parameters if create_graph else _detach(parameters), [*seeds.values()]

    def of_sample(
        arguments: Tensors, cotangents: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        def run(*values: Tensor) -> Tensors:
            outputs = one(values, arguments)
            return tuple(outputs[i] for i in seeds)

        outputs, pullback = vjp(run, own)
        return outputs, vmap(pullback)(*cotangents)

    found: tuple[Tensors, Tensors] = vmap(of_sample, (0, 1))(batch, given)
    size = (batch[0].shape[0], given[0].shape[0])
    shapes = [(*size, *parameter.shape) for parameter in parameters]
    if [tuple(block.shape) for block in found[1]] != shapes:
        # As of PReLU in torch 2.13.
        raise RuntimeError("a batching rule gives cotangents of another shape")
    return found[0], tuple(block.transpose(0, 1) for block in found[1])


def _stack(each: Sequence[Tensors], dim: int) -> Tensors:
    return tuple(torch.stack(parts, dim) for parts in zip(*each, strict=True))


def _detach(tensors: Tensors) -> Tensors:
    return tuple(tensor.detach() for tensor in tensors)


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
        wanted, found = captured.detach().movedim(axis, 0), again.detach()
        rtol = TOLERANCES[wanted.dtype].projection
        atol = rtol * float(wanted.abs().max()) if wanted.numel() else 0.0
        if found.shape != wanted.shape or not torch.allclose(
            found, wanted, rtol=rtol, atol=atol, equal_nan=True
        ):
            return False
    return True
