"""`torch.func.jvp` under `torch.func.vmap`.

    J[:, i:i+K] = vmap(v -> jvp(f, x, v))(e_i, ..., e_{i+K-1})

What `torch.func.jacfwd` does, in chunks, which it lacks. Cost: one forward pass a
chunk, on the primal and `K` tangents; no graph is kept, so memory is `K` times the
widest activation and does not grow with depth. The method for few inputs and many
outputs, and for deep functions under a tight budget.

Forward-mode AD is not safe to run from several threads in torch 2.13, so the engine
runs it under a lock.

Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacfwd.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast, final

from jacengine._torchfunc import Tensors, jvp, vmap
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
class VmapJvp(Strategy):
    """`vmap` over the tangents of `torch.func.jvp`."""

    name: ClassVar[str] = "vmap_jvp"
    summary: ClassVar[str] = "torch.func.jvp under vmap"
    source: ClassVar[str] = "torch.func (functorch)"
    wins: ClassVar[str] = "few inputs, many outputs; deep models, little memory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="jvp",
        gradients=(GradientMode.VJP, GradientMode.JVP),
        records_graph=False,
        thread_safe=False,
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass a chunk."""
        return Passes(forward=blocks, backward=0)

    def linearize(self, point: Point) -> LinearMap:
        """Nothing to keep: tangents travel with the primal."""

        def push(*tangents: Tensors) -> Tensors:
            return jvp(point.function, point.primals, cast("Tensors", tangents))

        vectorised = vmap(push)

        def linear_map(tangents: Tensors) -> Tensors:
            return cast("Tensors", vectorised(*tangents))

        return linear_map
