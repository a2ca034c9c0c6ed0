"""Townsend's trick: forward mode out of two reverse modes.

The VJP `g(u) = u^T J` is linear in its cotangent `u`, so its own VJP is the transpose
of that map, which is the JVP:

    J v = vjp of (u -> u^T J) at v,    for any u

Cost: one forward and one backward pass to record `g`, then one backward pass through
both an input entry (of one sample, where samples are independent). Extra memory: the
graph of the backward pass. It needs no forward formulas, only backward passes that can
be differentiated, so it gives forward mode for LSTMs and old-style custom functions.

Source: J. Townsend, "A new trick for calculating Jacobian vector products", 2017,
https://j-towns.github.io/2017/06/12/A-new-trick.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from jacengine._torchfunc import Tensors, pull
from jacengine.interface import (
    Capabilities,
    LinearMap,
    Passes,
    Point,
    Strategy,
)


@final
@dataclass(frozen=True)
class DoubleVjp(Strategy):
    """The VJP of a VJP, one input entry at a time."""

    name: ClassVar[str] = "double_vjp"
    summary: ClassVar[str] = "VJP of the VJP (Townsend), one pass an input entry"
    source: ClassVar[str] = "j-towns.github.io/2017/06/12/A-new-trick.html"
    wins: ClassVar[str] = "few inputs, operators without a forward formula"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="jvp",
        max_directions=1,
        gradients=(),
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward, one recorded backward, and one backward a direction."""
        return Passes(forward=1, backward=1 + blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Record the VJP as a function of a dummy cotangent."""
        primals = point.tracked()
        outputs = point.function(*primals)
        dummies = tuple(torch.zeros_like(o).requires_grad_() for o in outputs)
        linear = pull(outputs, primals, dummies, create_graph=True)

        def linear_map(tangents: Tensors) -> Tensors:
            one = tuple(tangent[0] for tangent in tangents)
            products = pull(linear, dummies, one, create_graph=point.create_graph)
            return tuple(product.unsqueeze(0) for product in products)

        return linear_map
