"""One backward pass an output entry, over a graph recorded once.

    J[o, :] = e_o^T J = vjp(e_o)

Cost: one forward pass and as many backward passes as there are output entries (of one
sample: with independent samples one pass serves the same entry of all of them, because
the cotangents of other samples reach only other samples). Extra memory: the graph.

It needs nothing of an operator but a derivative, so it works where vectorised and
forward methods do not, and it is the method to trust. It loses to the vectorised
methods wherever the pass is so small that launching it is the cost.

Source: the recurring answer on the PyTorch forum to "how to compute the Jacobian
matrix", e.g. https://discuss.pytorch.org/t/23494 ;
`torch.autograd.functional.jacobian`.
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
class ReverseLoop(Strategy):
    """`torch.autograd.grad` for one output entry at a time."""

    name: ClassVar[str] = "reverse_loop"
    summary: ClassVar[str] = "one autograd.grad an output entry, graph retained"
    source: ClassVar[str] = "PyTorch forum; autograd.functional.jacobian"
    wins: ClassVar[str] = "few outputs, large passes; any operator"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="vjp",
        max_directions=1,
        gradients=(GradientMode.GRAD,),
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and a backward pass a direction."""
        return Passes(forward=1, backward=blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Record the graph once; pull one cotangent back at a time."""
        primals = point.tracked()
        outputs = point.function(*primals)

        def linear_map(cotangents: Tensors) -> Tensors:
            one = tuple(cotangent[0] for cotangent in cotangents)
            products = pull(outputs, primals, one, create_graph=point.create_graph)
            return tuple(product.unsqueeze(0) for product in products)

        return linear_map
