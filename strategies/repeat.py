"""Replicate the input once an output entry; one backward pass gives all rows.

    X = (x, x, ..., x),  Y = f(X),  cotangent = identity  =>  dX = (J[o, :] for each o)

Copies of the input are independent samples, so a single ordinary backward pass with row
`e_o` on copy `o` is the Jacobian. With a batch the copies go along the axis of samples,
and nothing is vectorised by vmap: custom functions, recurrent nets and in-place code
are welcome. Without one the copies are made under vmap.

Cost: one forward and one backward pass a chunk, each on `K` copies: twice the
arithmetic of the batched methods but in large matrix products. Extra memory: `K`
graphs. Refuses functions that draw random numbers, which would differ between copies.

Source: S. Barratt, https://gist.github.com/sbarratt/37356c46ad1350d4c30aefbd488a4faa
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
    Unsupported,
)
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem


@final
@dataclass(frozen=True)
class Repeat(Strategy):
    """The "repeat trick": one copy of the input a cotangent."""

    name: ClassVar[str] = "repeat"
    summary: ClassVar[str] = "input replicated once an output entry, one backward"
    source: ClassVar[str] = "S. Barratt's gist (repeat trick)"
    wins: ClassVar[str] = "few outputs, operators without a batching rule"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="vjp",
        gradients=(GradientMode.GRAD,),
        trusted=True,
    )

    def check(self, problem: Problem) -> Unsupported | None:
        """Decline random numbers: copies of one input must see one function."""
        if problem.stochastic:
            return Unsupported("each copy of the input would draw other random numbers")
        return None

    def passes(self, blocks: int) -> Passes:
        """Count a forward and a backward pass a chunk, on as many copies."""
        return Passes(forward=blocks, backward=blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Nothing to keep: each chunk has its own copies."""

        def linear_map(cotangents: Tensors) -> Tensors:
            primals = point.copies(cotangents[0].shape[0])
            outputs = point.replicated(*primals)
            return pull(outputs, primals, cotangents, create_graph=point.create_graph)

        return linear_map
