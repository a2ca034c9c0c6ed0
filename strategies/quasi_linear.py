"""Parameter Jacobians layer by layer: one backward pass, then a contraction a layer.

A layer's output is linear in its parameters ("quasi-linear"): for a linear layer
`h = W x + b` inside `y = f(h)`,

    dy_c / dW[o, i] = g[c, o] x[i],    g[c, :] = dy_c / dh

Hooks record every layer's input `x`; one backward pass gives the cotangents `g` of
every layer's output for all output entries at once; and one contraction a layer writes
the block of J where it belongs. The weight gradients that a VJP would form and sum over
the batch are never formed, so samples stay apart at the price of writing J. Where a
parameter is used outside a known layer (a tied or bare weight, attention, a layer
written in functions), the autograd graph has the same `x` and `g` for the operator that
takes it.

Cost: one forward and one backward pass a chunk, without weight gradients, and the
contractions. Extra memory: inputs and cotangents of all layers. Layers without a rule
that the graph does not tell enough of are run again: recurrent ones step by step,
others sample by sample under vmap. Parameters that no layer can answer for are pulled
through the whole graph.

Source: "quasi-linear" per-sample Jacobians,
https://github.com/ChenAo-Phys/pytorch-Jacobian ; F. Dangel, F. Kunstner, P. Hennig,
"BackPACK: Packing more into backprop", 2020, https://arxiv.org/abs/1912.10985
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.interface import Contract, Contraction, Passes, Point, Unsupported
from jacengine.layers.autotune import Tuning, tuned
from jacengine.layers.capture import Captured, assigned, captured
from jacengine.layers.contraction import (
    Piece,
    alike,
    contractor,
    given,
    through_the_graph,
)
from jacengine.layers.contraction_plan import ContractionPlan
from jacengine.problem.problem import Problem


@final
@dataclass(frozen=True)
class QuasiLinear(Contraction):
    """Hooks, one batched backward pass, one contraction a layer.

    Attributes:
        plans: How each layer call is contracted, for each number of samples that was
            prepared for.
    """

    plans: Mapping[int | None, ContractionPlan] = field(
        default_factory=dict[int | None, ContractionPlan], compare=False
    )

    name: ClassVar[str] = "quasi_linear"
    method: ClassVar[str] = "layer inputs x cotangents, contracted layer by layer"
    source: ClassVar[str] = "ChenAo-Phys/pytorch-Jacobian; BackPACK"
    wins: ClassVar[str] = "per-sample parameter Jacobians of layered models"
    trusted: ClassVar[bool] = True

    def check(self, problem: Problem) -> Unsupported | None:
        """Decline inputs: it contracts what enters layers with what leaves them."""
        if problem.module is None:
            return Unsupported("differentiates parameters of modules, not inputs")
        return None

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and a backward pass a chunk."""
        return Passes(forward=1, backward=blocks)

    def prepare(  # type: ignore[override]
        self, point: Point, tuning: Tuning, *, timed: bool
    ) -> tuple[QuasiLinear, Tuning]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Find how each layer call is contracted, in a few passes, and by what.

        Args:
            point: An example of the points it will be linearized at.
            tuning: The implementations to use, as far as they are known.
            timed: Whether to time what the tuning does not tell; else the defaults are
                taken.

        Returns:
            The prepared strategy, and the tuning with all that it uses at such points.

        Raises:
            ArgumentError: The tuning names an implementation that does not exist.
        """
        known = self.plans.get(point.batch_size)
        plan = known or assigned(point)
        if not plan.sample_axis_known:
            return self, tuning  # to be planned at every point
        plan, tuning = tuned(point, plan, tuning, timed=timed and known is None)
        return replace(self, plans={**self.plans, point.batch_size: plan}), tuning

    def linearize(self, point: Point) -> Contract:
        """Run the module once, watching its layers."""
        return _action(captured(point, self.plans.get(point.batch_size)), point)


def _action(seen: Captured, point: Point) -> Contract:
    contractors = [
        (members, contractor(seen, members, point.batch_size))
        for members in alike(seen)
    ]

    def action(seeds: Tensors, out: Tensors | None = None) -> Tensors:
        pieces: list[list[Piece]] = [[] for _ in seen.primals]
        arriving = seen.arriving(seeds)
        for members, contract in contractors:
            for index, piece in contract([arriving[i] for i in members]).items():
                pieces[index].append(piece)
        for index in seen.assignment.whole:
            block = through_the_graph(
                seen.outputs,
                seen.primals[index],
                seeds,
                point.batch_size,
                create_graph=seen.create_graph,
            )
            pieces[index].append(given(block))
        count = seeds[0].shape[0]
        return tuple(
            _total(primal, pieces[i], count, point.batch_size, out[i] if out else None)
            for i, primal in enumerate(seen.primals)
        )

    return action


def _total(
    primal: Tensor,
    pieces: Sequence[Piece],
    count: int,
    batch_size: int | None,
    out: Tensor | None,
) -> Tensor:
    """Sum the contributions to one block; the first is written, the others added."""
    target = out if out is None or batch_size is not None else out.unsqueeze(1)
    if not pieces:
        shape = (count, batch_size or 1, *primal.shape)
        block = primal.new_zeros(shape) if target is None else target.zero_()
    else:
        block = pieces[0](target)
        for piece in pieces[1:]:
            block = block + piece(None) if target is None else block.add_(piece(None))
    if out is not None:
        return out
    return block if batch_size is not None else block.squeeze(1)
