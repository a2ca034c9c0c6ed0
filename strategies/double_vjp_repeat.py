"""Townsend's trick on replicated inputs: forward mode without a loop, without vmap.

    X = (x, ..., x),  Y = f(X),  G(U) = vjp of f at X,  J v_k = row k of vjp of G at V

The VJP of `K` copies of the input is linear in its cotangents; its own VJP with tangent
`v_k` on copy `k` gives `K` columns at once. Cost: one forward and two backward passes a
chunk, each on `K` copies. Extra memory: `K` graphs of the backward pass. Refuses
functions that draw random numbers, which would differ between copies.

Source: PyTorch forum, "forward-mode Jacobian with autograd",
https://discuss.pytorch.org/t/159037 ; J. Townsend 2017 for the trick itself.
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
    Unsupported,
)
from jacengine.problem.problem import Problem


@final
@dataclass(frozen=True)
class DoubleVjpRepeat(Strategy):
    """The VJP of a VJP, on one copy of the input a tangent."""

    name: ClassVar[str] = "double_vjp_repeat"
    summary: ClassVar[str] = "VJP of the VJP on replicated inputs, no loop"
    source: ClassVar[str] = "PyTorch forum, t/159037"
    wins: ClassVar[str] = "few inputs, no forward formula, no batching rule"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="jvp",
        gradients=(),
        trusted=True,
    )

    def check(self, problem: Problem) -> Unsupported | None:
        """Decline random numbers: copies of one input must see one function."""
        if problem.stochastic:
            return Unsupported("each copy of the input would draw other random numbers")
        return None

    def passes(self, blocks: int) -> Passes:
        """One forward and two backward passes a chunk, on as many copies."""
        return Passes(forward=blocks, backward=2 * blocks)

    def linearize(self, point: Point) -> LinearMap:
        """Nothing to keep: each chunk has its own copies."""

        def linear_map(tangents: Tensors) -> Tensors:
            primals = point.copies(tangents[0].shape[0])
            outputs = point.replicated(*primals)
            dummies = tuple(torch.zeros_like(o).requires_grad_() for o in outputs)
            linear = pull(outputs, primals, dummies, create_graph=True)
            return pull(linear, dummies, tangents, create_graph=point.create_graph)

        return linear_map
