"""The program of a gradient: of each entry of a program's output, by its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.index_sets import MOST
from jacengine.program.operators import shape_of
from jacengine.program.program import Program, traced


def gradient_of(
    program: Program,
    values: Sequence[Any],
    starts: Sequence[int],
    sizes: Sequence[int] = (1,),
    *,
    joined: bool = True,
) -> Program:
    """Return the program of the gradient, whose output is flat.

    The gradients of several entries are one vectorised pass, seeded with the rows of an
    identity; its zeros are constants of the program.

    Args:
        program: The program.
        values: Its inputs today.
        starts: The places of those that are differentiated, in order.
        sizes: How many entries each of the function's values has, which the program
            returns one after the other.
        joined: Whether the gradients of an entry by all inputs come one after the
            other; else those of all entries of a value by one input do.

    Raises:
        UnsupportedError: It has an operator that is not a plain function of tensors, or
            too many entries.
        RuntimeError: It cannot be differentiated.
    """
    count = sum(sizes)
    widest = max(shape_of(program.inputs[k]).numel() for k in starts)
    if count > 1 and count * max(count, widest) > MOST:
        raise UnsupportedError(f"the gradients of {count} entries are too large")

    def gradient(*inputs: Any) -> Tensor:
        output = program.evaluate(inputs)[program.output].reshape(-1)
        blocks = _rows(output, [inputs[k] for k in starts])
        if joined:
            blocks = [torch.cat(blocks, dim=1)]
        lines = zip(*(block.split(list(sizes)) for block in blocks), strict=True)
        return torch.cat([part.reshape(-1) for line in lines for part in line])

    own = [x.detach() if isinstance(x, Tensor) else x for x in values]
    for k in starts:
        own[k] = own[k].requires_grad_()
    with torch.enable_grad():
        return traced(gradient, own)


def _rows(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients `(entries, size)` of a flat output, one an input."""
    count = output.numel()
    several = count > 1
    seeds = torch.eye(count, dtype=output.dtype, device=output.device)
    found: tuple[Any, ...] = torch.autograd.grad(
        output,
        inputs,
        seeds if several else seeds[0],
        allow_unused=True,
        is_grads_batched=several,
    )
    return [
        x.new_zeros(count, x.numel()) if g is None else g.reshape(count, x.numel())
        for g, x in zip(found, inputs, strict=True)
    ]
