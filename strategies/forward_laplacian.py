"""The forward Laplacian: value, tangents and Laplacian in one forward pass.

    y_t[k] = phi'(z) t[k],    L y = phi'(z) L z + sum_k phi''(z)[t[k], t[k]]

The sum over directions is taken at every operator, so one coefficient goes on where
nested forward mode carries one for each direction. Cost: one forward pass on `K`
tangents, where Hessian-vector products take a forward and a backward pass on as many;
no graph is kept, so memory is `K` times the widest activation. Operators with a rule
are in `jacengine.program.taylor`; others go by forward mode on that operator alone.

Source: Li et al. 2024, "A computational framework for neural network-based variational
Monte Carlo with Forward Laplacian", https://arxiv.org/abs/2307.08214; Dangel et al.
2025, "Collapsing Taylor mode automatic differentiation",
https://arxiv.org/abs/2505.13644
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from jacengine._torchfunc import Tensors
from jacengine.interface import (
    Capabilities,
    LinearMap,
    Passes,
    Point,
    Strategy,
)
from jacengine.program.taylor.propagate import propagate


@final
@dataclass(frozen=True)
class ForwardLaplacian(Strategy):
    """One forward pass of values, tangents and the Laplacian."""

    name: ClassVar[str] = "forward_laplacian"
    summary: ClassVar[str] = "value, tangents and Laplacian in one forward pass"
    source: ClassVar[str] = "Li et al. 2024; Dangel et al. 2025"
    wins: ClassVar[str] = "Laplacians, wherever every operator has a rule"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="trace",
        records_graph=False,
        thread_safe=False,
        trusted=True,
    )

    def passes(self, blocks: int) -> Passes:
        """One forward pass a chunk."""
        return Passes(forward=blocks, backward=0)

    def linearize(self, point: Point) -> LinearMap:
        """Nothing to keep: everything travels with the primal."""
        primals = point.tracked() if point.create_graph else point.primals

        def linear_map(tangents: Tensors) -> Tensors:
            return propagate(point.function, primals, tangents)

        return linear_map
