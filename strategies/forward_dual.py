"""Dual tensors: one forward pass an input entry.

    f(x + eps v) = f(x) + eps J v,    so J[:, i] is the tangent of f(x + eps e_i)

Cost: one forward pass on values and tangents for each input entry (of one sample: with
independent samples one pass serves the same entry of all of them), and none for the
entries that are not requested. Extra memory: one tangent an activation, no graph.
No vmap is involved, so an operator needs a forward formula and nothing else.

Source: "Forward-mode Automatic Differentiation",
https://docs.pytorch.org/tutorials/intermediate/forward_ad_usage.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch.autograd import forward_ad

from jacengine._torchfunc import Tensors
from jacengine.interface import (
    Capabilities,
    LinearMap,
    Passes,
    Point,
    Strategy,
)
from jacengine.problem.gradient import GradientMode


@final
@dataclass(frozen=True)
class ForwardDual(Strategy):
    """`torch.autograd.forward_ad` for one input entry at a time."""

    name: ClassVar[str] = "forward_dual"
    summary: ClassVar[str] = "forward_ad dual tensors, one pass an input entry"
    source: ClassVar[str] = "torch.autograd.forward_ad documentation"
    wins: ClassVar[str] = "very few inputs, large passes, little memory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="jvp",
        max_directions=1,
        gradients=(GradientMode.GRAD,),
        records_graph=False,
        thread_safe=False,
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass a direction."""
        return Passes(forward=blocks, backward=0)

    def linearize(self, point: Point) -> LinearMap:
        """Nothing to keep: tangents travel with the primal."""

        def linear_map(tangents: Tensors) -> Tensors:
            with forward_ad.dual_level():
                duals = [
                    forward_ad.make_dual(primal, tangent[0])
                    for primal, tangent in zip(point.primals, tangents, strict=True)
                ]
                parts = [
                    forward_ad.unpack_dual(output) for output in point.function(*duals)
                ]
            return tuple(
                torch.zeros_like(part.primal).unsqueeze(0)
                if part.tangent is None
                else part.tangent.unsqueeze(0)
                for part in parts
            )

        return linear_map
