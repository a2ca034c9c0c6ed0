"""Derivatives of one output by nested loops of `torch.autograd.grad`.

One pass back for every entry of what is differentiated; a Hessian is the Jacobian of
each gradient. All results are blocks, one for each input in its order.
"""

from __future__ import annotations

import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]


def jacobian(
    output: Tensor, inputs: Inputs, *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Compute every entry's gradient.

    Args:
        output: What to differentiate, `(*out)`.
        inputs: By what; the output may be independent of some.
        create_graph: Whether the result is to be differentiated again.

    Returns:
        For each input `(*out, *in)`.
    """
    rows = [
        _gradients(entry, inputs, create_graph=create_graph)
        for entry in output.reshape(-1)
    ]
    return tuple(
        torch.stack(column).reshape(*output.shape, *x.shape)
        for x, column in zip(inputs, zip(*rows, strict=True), strict=True)
    )


def hessian(output: Tensor, inputs: Inputs) -> tuple[tuple[Tensor, ...], ...]:
    """Compute the gradient of every entry of every gradient.

    Args:
        output: What to differentiate, `(*out)`.
        inputs: By what.

    Returns:
        For inputs p, and for each of them for inputs q, `(*out, *p, *q)`.
    """
    slopes = jacobian(output, inputs, create_graph=True)
    return tuple(jacobian(slope, inputs) for slope in slopes)


def hessian_diagonal(output: Tensor, inputs: Inputs) -> tuple[Tensor, ...]:
    """Compute every entry's second derivative by itself.

    Args:
        output: What to differentiate, `(*out)`.
        inputs: By what.

    Returns:
        For each input `(*out, *in)`.
    """
    slopes = jacobian(output, inputs, create_graph=True)
    return tuple(
        torch.stack(
            [
                _gradients(entry, (x,))[0].reshape(-1)[i]
                for row in slope.reshape(output.numel(), x.numel())
                for i, entry in enumerate(row)
            ]
        ).reshape(slope.shape)
        for slope, x in zip(slopes, inputs, strict=True)
    )


def laplacian(output: Tensor, inputs: Inputs) -> Tensor:
    """Sum the second derivatives over all entries of all inputs.

    Args:
        output: What to differentiate, `(*out)`.
        inputs: By what.

    Returns:
        Of the output's shape.
    """
    blocks = hessian_diagonal(output, inputs)
    sums = [block.reshape(*output.shape, -1).sum(-1) for block in blocks]
    return torch.stack(sums).sum(0)


def _gradients(
    entry: Tensor, inputs: Inputs, *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    if not entry.requires_grad:
        # The gradient of what is linear.
        return tuple(torch.zeros_like(x, requires_grad=False) for x in inputs)
    return torch.autograd.grad(
        entry,
        inputs,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
