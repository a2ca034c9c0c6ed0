"""`torch.func.vjp` under `torch.func.vmap`.

    J[o:o+K, :] = vmap(vjp(f, x)[1])(e_o, ..., e_{o+K-1})

What `torch.func.jacrev` does, with the forward pass shared by all chunks and without
the `m x m` identity that it builds. Cost: one forward pass, one vectorised backward
pass a chunk. Extra memory: `K` times the widest cotangents. Refuses what functional
transforms refuse: writes to captured tensors (BatchNorm in training mode), saved-tensor
hooks (checkpointing), `autograd.Function` without `setup_context`.

Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast, final

from jacengine._torchfunc import Tensors, vjp, vmap
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
class VmapVjp(Strategy):
    """`vmap` over the cotangents of `torch.func.vjp`."""

    name: ClassVar[str] = "vmap_vjp"
    summary: ClassVar[str] = "torch.func.vjp under vmap"
    source: ClassVar[str] = "torch.func (functorch)"
    wins: ClassVar[str] = "few outputs; composes with other transforms"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="vjp",
        gradients=(GradientMode.VJP, GradientMode.JVP),
        vmappable=True,
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and a vectorised backward pass a chunk."""
        return Passes(forward=1, backward=blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Linearize once; pull a chunk of cotangents back at a time."""
        _, pullback = vjp(point.function, point.primals)
        vectorised = vmap(pullback)

        def linear_map(cotangents: Tensors) -> Tensors:
            return cast("Tensors", vectorised(*cotangents))

        return linear_map
