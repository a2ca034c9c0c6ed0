"""All cotangents of a chunk in one vectorised backward pass.

    J[o:o+K, :] = vmap(vjp)(e_o, ..., e_{o+K-1})

`torch.autograd.grad(is_grads_batched=True)` runs the recorded backward graph under
vmap. Cost: one forward pass and one backward pass a chunk, on `K` cotangents at once.
Extra memory: `K` times the widest cotangents. It has about half the Python overhead of
`torch.func` on small problems, and takes no part in the forward pass, so hooks,
checkpoints and anything else that plain autograd can record is welcome. A backward
formula without a batching rule runs as a slow loop or raises.

Source: `torch.autograd.grad` documentation,
https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from jacengine._torchfunc import Tensors, pull
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
class BatchedGrad(Strategy):
    """`torch.autograd.grad(is_grads_batched=True)`."""

    name: ClassVar[str] = "batched_grad"
    summary: ClassVar[str] = "autograd.grad(is_grads_batched=True)"
    source: ClassVar[str] = "torch.autograd.grad documentation"
    wins: ClassVar[str] = "few outputs, small models (low overhead)"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="vjp",
        gradients=(GradientMode.GRAD, GradientMode.JVP),
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and a vectorised backward pass a chunk."""
        return Passes(forward=1, backward=blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Record the graph once; pull a chunk of cotangents back at a time."""
        primals = point.tracked()
        outputs = point.function(*primals)

        def linear_map(cotangents: Tensors) -> Tensors:
            return pull(
                outputs,
                primals,
                cotangents,
                batched=True,
                create_graph=point.create_graph,
            )

        return linear_map
