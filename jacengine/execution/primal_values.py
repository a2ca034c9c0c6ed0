"""What a function returns, as the passes of a sweep compute it beside products.

A forward pass of any strategy evaluates the function at the primals: plain, under vmap,
on copies, or as the primal part of dual numbers. The first evaluation at each point is
kept as it comes, and made plain when the pass is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from jacengine._torch_private import unwrapped
from jacengine._torchfunc import Tensors
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem

Raw = tuple[Tensor, tuple[int, ...]]
"""A tensor, and its axes that belong to vmap, the outermost first."""


class PrimalValues:
    """Collects the values of one sweep; the `observer` of a `BoundFunction`."""

    def __init__(self, problem: Problem) -> None:
        """Begin with nothing."""
        self._problem = problem
        self._found: dict[int, Tensors | None] = {}
        self._samples: slice | None = None
        self._raw: list[Raw] = []

    def begin(self, samples: slice) -> None:
        """Expect evaluations at the point of some samples."""
        self._settle()
        if samples.start not in self._found:
            self._samples = samples

    def __call__(self, outputs: Sequence[Tensor]) -> None:
        """Keep what an evaluation returned, if it is the first one at its point."""
        if self._samples is not None and not self._raw:
            self._raw = list(map(unwrapped, outputs))

    def finish(self, bound: BoundFunction) -> Tensors:
        """Return the values; what no pass has shown is computed."""
        self._settle()
        parts = [self._found[start] for start in sorted(self._found)]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return self._owned(bound.run(bound.leaves).leaves)
        if len(known) == 1:
            return known[0]
        return tuple(map(torch.cat, zip(*known, strict=True)))

    def _settle(self) -> None:
        """Make the values of a point plain, so that its graph can be freed."""
        samples, raw = self._samples, self._raw
        self._samples, self._raw = None, []
        if samples is None:
            return
        found: Tensors | None = None
        if raw:
            size = (samples.stop - samples.start,)
            lead = () if self._problem.batch_size is None else size
            shapes = [(*lead, *spec.shape) for spec in self._problem.returned]
            plain = [_plain(*each) for each in zip(raw, shapes, strict=True)]
            shown = [value for value in plain if value is not None]
            found = self._owned(shown) if len(shown) == len(plain) else None
        self._found[samples.start] = found

    def _owned(self, values: Sequence[Tensor]) -> Tensors:
        """Copy values, which may be arguments, and outlive their graph."""
        if self._problem.options.create_graph:
            return tuple(value.clone() for value in values)
        return tuple(value.detach().clone() for value in values)


def _plain(raw: Raw, shape: tuple[int, ...]) -> Tensor | None:
    """Bring a value to its shape; `None` if it is none of that many entries.

    Axes of vmap are copies, the first of which is taken, or samples.
    """
    tensor, axes = raw
    for number, axis in enumerate(axes):
        tensor = tensor.movedim(axis + number, number)
    count = prod(shape)
    if count == 0:
        return tensor.new_empty(shape)
    if tensor.numel() == 0 or tensor.numel() % count:
        return None
    return tensor.reshape(-1, *shape)[0]
