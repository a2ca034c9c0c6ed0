"""The Jacobian by the plainest loop: one sample, one output entry at a time.

Slow, and right wherever plain reverse mode is. It shares nothing with the strategies,
so that an error of theirs cannot be an error of this file as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.workload import Question

_Gradients = tuple[Tensor | None, ...]


def reference(question: Question) -> Any:
    """Compute J with one `torch.autograd.grad` an output entry of a sample.

    Args:
        question: Which Jacobian.

    Returns:
        J, nested as by `jacengine.auto`: `(*out, *in)`, with samples
        `(B, *out, *in)`; for parameters a dict by name.
    """
    if question.wrt == "params":
        assert isinstance(question.fn, nn.Module)
        named = dict(question.fn.named_parameters())
        names = [name for name, p in named.items() if p.requires_grad]
        inputs = tuple(named[name] for name in names)
        blocks = _blocks(question, lambda args: (inputs, args))
        return dict(zip(names, blocks, strict=True))
    index = cast("int", question.wrt)

    def tracked(args: tuple[Any, ...]) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        x = args[index].detach().clone().requires_grad_()
        return (x,), (*args[:index], x, *args[index + 1 :])

    (block,) = _blocks(question, tracked)
    if question.batch_dim is None:
        return block
    # The sample's own axis, of length one, is still among those of the input.
    out_axes = block.ndim - question.args[index].ndim
    return block.squeeze(out_axes)


def _blocks(
    question: Question,
    point: Callable[[tuple[Any, ...]], tuple[tuple[Tensor, ...], tuple[Any, ...]]],
) -> tuple[Tensor, ...]:
    """Return a block of J for each input: `(*out, *in)`, or `(B, *out, *in)`."""
    if question.batch_dim is None:
        inputs, args = point(question.args)
        return _gradients(question.fn(*args), inputs)
    samples: list[tuple[Tensor, ...]] = []
    for b in range(len(question.args[0])):
        inputs, args = point(tuple(arg[b : b + 1] for arg in question.args))
        samples.append(_gradients(question.fn(*args)[0], inputs))
    return tuple(torch.stack(same) for same in zip(*samples, strict=True))


def _gradients(output: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    rows: list[_Gradients] = [
        torch.autograd.grad(entry, inputs, retain_graph=True, allow_unused=True)
        for entry in output.reshape(-1)
    ]
    return tuple(
        torch.stack(
            [x.new_zeros(x.shape) if grad is None else grad for grad in column]
        ).reshape(*output.shape, *x.shape)
        for x, column in zip(inputs, zip(*rows, strict=True), strict=True)
    )
