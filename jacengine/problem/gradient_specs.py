"""The outputs of a gradient, and which of their entries a diagonal is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jacengine.errors import ArgumentError
from jacengine.problem.call_spec import TensorSpec

if TYPE_CHECKING:
    from jacengine.problem.problem import Options


@dataclass(frozen=True)
class Gradient:
    """One tensor of a gradient: of one value, by a run of input entries.

    Attributes:
        value: The number of the value.
        start: The first of its input entries, over all inputs flattened.
        count: How many there are.
        entries: The entries of the value (of one sample).
    """

    value: int
    start: int
    count: int
    entries: int


def gradients(
    values: Sequence[TensorSpec], inputs: Sequence[TensorSpec], *, joined: bool
) -> Iterator[Gradient]:
    """Yield what a gradient consists of, in order."""
    sizes = [leaf.size for leaf in inputs]
    sizes = [sum(sizes)] if joined else sizes
    for number, value in enumerate(values):
        start = 0
        for size in sizes:
            yield Gradient(number, start, size, value.size)
            start += size


def potential_of(
    outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec], options: Options
) -> TensorSpec:
    """Describe the scalar whose gradient the outputs have the shapes of.

    The diagonal of a Jacobian is found as that of a Hessian is.

    Raises:
        ArgumentError: The outputs are not like the inputs.
    """
    got, expected = ([spec.shape for spec in specs] for specs in (outputs, inputs))
    if got != expected:
        raise ArgumentError(
            f"A {options.quantity} is of a function whose outputs have the shapes of "
            f"its inputs, {expected}; this one returns {got} (of one sample)."
        )
    if options.joined:
        raise ArgumentError(
            f"layout={options.layout!r} is of a matrix, not of a {options.quantity}."
        )
    return replace(outputs[0], label="the potential", shape=())


def gradient_leaves(
    values: Sequence[TensorSpec], inputs: Sequence[TensorSpec], options: Options
) -> tuple[TensorSpec, ...]:
    """Describe the tensors of a gradient: `(*out, *in)`, or `(*out, N)` if joined."""
    if options.joined:
        shapes: list[tuple[int, ...]] = [(sum(leaf.size for leaf in inputs),)]
        sources = [inputs[0]]
    else:
        shapes, sources = [leaf.shape for leaf in inputs], list(inputs)
    return tuple(
        replace(
            value,
            label=f"the gradient of {value.label} by {source.label}",
            shape=(*value.shape, *shape),
            dtype=source.dtype,
        )
        for value in values
        for shape, source in zip(shapes, sources, strict=True)
    )


def diagonal_rows(
    values: Sequence[TensorSpec],
    inputs: Sequence[TensorSpec],
    columns: Tensor,
    options: Options,
) -> Tensor:
    """Find the gradient entries whose own input entry is one of these.

    Args:
        values: What the function returns.
        inputs: What is differentiated.
        columns: Input entries, over all inputs flattened.
        options: How the gradient is laid out.

    Returns:
        Entries over the whole gradient flattened.
    """
    found: list[Tensor] = []
    first = 0
    for part in gradients(values, inputs, joined=options.joined):
        own = columns[(columns >= part.start) & (columns < part.start + part.count)]
        entry = torch.arange(part.entries, device="cpu").unsqueeze(1) * part.count
        found.append((first + entry + (own - part.start)).flatten())
        first += part.entries * part.count
    return torch.cat(found)
