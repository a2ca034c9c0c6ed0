"""The gradient of a call's outputs, as a function that can be differentiated in turn.

    G[b, o, i] = d out[b, o] / d in[b, i]

Second derivatives are the Jacobian of it. Three ways lead to it, and which of them a
method can differentiate, and fast, is the method's affair:

| way | by | so that the whole is |
|---|---|---|
| `grad` | `torch.autograd.grad`, one output entry at a time | ... over reverse |
| `vjp` | `torch.func.vjp`, under vmap where there are several | ... over reverse |
| `jvp` | `torch.func.jvp` under vmap, all inputs at once | ... over forward |

With independent samples one pass serves the same entry of all of them: the gradient of
the sum over samples has every sample's gradient in its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from enum import StrEnum

import torch
from torch import Tensor

from jacengine._torchfunc import Function, Tensors, jvp, pull, vjp, vmap
from jacengine.basis import one_hot
from jacengine.problem.call_spec import CallSpec, TensorSpec

OverSamples = Callable[..., Tensors]
"""Runs `body(function, primals, seeds)` of each sample: see
`BoundFunction.over_samples`."""


class GradientMode(StrEnum):
    """How the gradient is computed that a second-order method differentiates."""

    GRAD = "grad"
    VJP = "vjp"
    JVP = "jvp"

    @property
    def summary(self) -> str:
        """What it is, in a few words, for tables."""
        return {
            GradientMode.GRAD: "a recorded reverse pass",
            GradientMode.VJP: "torch.func.vjp",
            GradientMode.JVP: "torch.func.jvp under vmap",
        }[self]


def compute_gradient(
    function: Function,
    primals: Tensors,
    mode: GradientMode,
    spec: CallSpec,
    over_samples: OverSamples,
) -> Tensors:
    """Compute the gradient of every output entry by every input.

    Args:
        function: Maps the primals to the outputs, samples along axis 0 if there are.
        primals: Where.
        mode: How.
        spec: What the inputs are.
        over_samples: Runs a computation for each sample.

    Returns:
        For each output, for each input: `(*out, *in)`, or `(B, *out, *in)`.
    """
    if mode is GradientMode.JVP:
        return _pushed(function, primals, spec)
    if not spec.shared:
        if mode is GradientMode.GRAD:
            return _recorded(function, primals, spec)
        batched = spec.batch_size is not None
        outputs, pullback = vjp(function, primals)
        if _without_entries(outputs, spec):
            return _nothing(outputs, spec)
        return _pulled(pullback, outputs, primals, batched=batched)
    if mode is GradientMode.GRAD:
        return _recorded_apart(function, primals, spec)
    return _apart(primals, over_samples)


def join_inputs(blocks: Tensors, inputs: Sequence[TensorSpec]) -> Tensors:
    """Join the gradients of each output by all inputs: `(*out, N)`, or with samples."""
    found: list[Tensor] = []
    for first in range(0, len(blocks), len(inputs)):
        parts = [
            block.reshape(*block.shape[: block.dim() - len(leaf.shape)], leaf.size)
            for block, leaf in zip(blocks[first:], inputs, strict=False)
        ]
        found.append(torch.cat(parts, dim=-1))
    return tuple(found)


def _recorded(function: Function, primals: Tensors, spec: CallSpec) -> Tensors:
    """Pull one output entry (of all samples) back at a time, recording it."""
    batched = spec.batch_size is not None
    with torch.enable_grad():
        tracked = _tracked(primals)
        outputs = function(*tracked)
        if _without_entries(outputs, spec):
            return _nothing(outputs, spec)
        if _one_entry(outputs, batched=batched):
            ones = torch.ones_like(outputs[0]).detach()
            parts = pull(outputs, tracked, (ones,), create_graph=True)
            return _of_one_entry(parts, outputs[0], tracked, batched=batched)
        seeds = _cotangents(outputs, batched=batched)
        each = [
            pull(outputs, tracked, tuple(s[k] for s in seeds), create_graph=True)
            for k in range(seeds[0].shape[0])
        ]
        rows = tuple(torch.stack(parts) for parts in zip(*each, strict=True))
        return _arranged(rows, outputs, tracked, batched=batched)


def _recorded_apart(function: Function, primals: Tensors, spec: CallSpec) -> Tensors:
    """Pull one output entry of one sample back at a time: an input is shared."""
    with torch.enable_grad():
        tracked = _tracked(primals)
        outputs = function(*tracked)
        if _without_entries(outputs, spec):
            return _nothing(outputs, spec)
        found: list[Tensor] = []
        for output in outputs:
            size = output[0].numel()
            lines: list[list[Tensor]] = [[] for _ in primals]
            for sample, entry in itertools.product(range(output.shape[0]), range(size)):
                value = output.reshape(output.shape[0], size)[sample, entry]
                seed = torch.ones_like(value)
                parts = pull((value,), tracked, (seed,), create_graph=True)
                for line, part, leaf in zip(lines, parts, spec.inputs, strict=True):
                    line.append(part if leaf.batch_dim is None else part[sample])
            found += [
                torch.stack(line).reshape((*output.shape, *leaf.shape))
                for line, leaf in zip(lines, spec.inputs, strict=True)
            ]
        return tuple(found)


def _apart(primals: Tensors, over_samples: OverSamples) -> Tensors:
    """Take each sample's gradient inside vmap over samples: an input is shared."""

    def of_one(function: Function, own: Tensors, seeds: Tensors) -> Tensors:
        del seeds
        outputs, pullback = vjp(function, own)
        return _pulled(pullback, outputs, own, batched=False)

    return over_samples(of_one, primals, ())


def _pushed(function: Function, primals: Tensors, spec: CallSpec) -> Tensors:
    """Push every input entry (of all samples) at once."""
    if spec.batch_size == 0 or not any(each.size for each in spec.inputs):
        return _nothing(function(*primals), spec)
    seeds = _identity(
        [
            primal if leaf.batch_dim is None else primal[0]
            for primal, leaf in zip(primals, spec.inputs, strict=True)
        ]
    )
    spread = tuple(
        seed
        if leaf.batch_dim is None
        else seed.unsqueeze(1).expand(seed.shape[0], *primal.shape)
        for seed, primal, leaf in zip(seeds, primals, spec.inputs, strict=True)
    )

    def push(*tangents: Tensor) -> Tensors:
        return jvp(function, primals, tangents)

    products: Tensors = vmap(push)(*spread)
    sizes = [each.size for each in spec.inputs]
    return tuple(
        part.movedim(0, -1).reshape((*part.shape[1:], *leaf.shape))
        for product in products
        for part, leaf in zip(product.split(sizes), spec.inputs, strict=True)
    )


def _without_entries(outputs: Tensors, spec: CallSpec) -> bool:
    """Say whether no output entry has a gradient, or no input entry is in one."""
    entries = sum(output.numel() for output in outputs)
    return entries == 0 or not any(each.size for each in spec.inputs)


def _nothing(outputs: Tensors, spec: CallSpec) -> Tensors:
    """Return a gradient without entries."""
    return tuple(
        output.new_zeros((*output.shape, *leaf.shape), dtype=leaf.dtype)
        for output in outputs
        for leaf in spec.inputs
    )


def _pulled(
    pullback: Function, outputs: Tensors, primals: Tensors, *, batched: bool
) -> Tensors:
    """Pull every output entry back; vmap only where there are several."""
    if _one_entry(outputs, batched=batched):
        parts = pullback(torch.ones_like(outputs[0]).detach())
        return _of_one_entry(parts, outputs[0], primals, batched=batched)
    rows: Tensors = vmap(pullback)(*_cotangents(outputs, batched=batched))
    return _arranged(rows, outputs, primals, batched=batched)


def _one_entry(outputs: Tensors, *, batched: bool) -> bool:
    """Say whether there is one output entry (of a sample), as losses have."""
    if len(outputs) != 1:
        return False
    samples = outputs[0].shape[0] if batched else 1
    return outputs[0].numel() == samples


def _of_one_entry(
    parts: Tensors, output: Tensor, primals: Tensors, *, batched: bool
) -> Tensors:
    """Give the gradients of a single entry, `(*in)` or `(B, *in)`, the output's axes.

    Views are passes of their own when a gradient is differentiated: none is made where
    there are no such axes.
    """
    if output.dim() == batched:
        return parts
    return tuple(
        part.reshape((*output.shape, *primal.shape[batched:]))
        for part, primal in zip(parts, primals, strict=True)
    )


def _cotangents(outputs: Tensors, *, batched: bool) -> Tensors:
    """Seed each output entry of a sample, the same for all samples: `(R, *output)`."""
    if not batched:
        return _identity(outputs)
    seeds = _identity([output[0] for output in outputs])
    return tuple(
        seed.unsqueeze(1).expand(seed.shape[0], *output.shape)
        for seed, output in zip(seeds, outputs, strict=True)
    )


def _identity(like: Sequence[Tensor]) -> Tensors:
    """Build one seed for each entry of several tensors, in the shape of each."""
    return one_hot(like, range(sum(tensor.numel() for tensor in like)))


def _arranged(
    rows: Tensors, outputs: Tensors, primals: Tensors, *, batched: bool
) -> Tensors:
    """Cut rows `(R, *in)` or `(R, B, *in)` into a block for each output and input."""
    shapes = [output.shape[1:] if batched else output.shape for output in outputs]
    sizes = [shape.numel() for shape in shapes]
    split = [row.split(sizes) for row in rows]
    found: list[Tensor] = []
    for number, shape in enumerate(shapes):
        for parts, primal in zip(split, primals, strict=True):
            part = parts[number]
            if batched:
                part = part.transpose(0, 1)
                part = part.reshape(primal.shape[0], *shape, *primal.shape[1:])
            else:
                part = part.reshape((*shape, *primal.shape))
            found.append(part)
    return tuple(found)


def _tracked(primals: Tensors) -> Tensors:
    """Let a graph begin at the primals, unless they are in one; duals stay duals."""
    return tuple(
        p if p.requires_grad else p.view_as(p).requires_grad_() for p in primals
    )
