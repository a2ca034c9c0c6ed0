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
for themselves or for their operators are rerun: recurrent ones unrolled in time, others
sample by sample under vmap. Other parameters take VJPs through the whole graph.

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
from jacengine.interface import (
    Capabilities,
    LinearMap,
    Passes,
    Point,
    Strategy,
    Tuning,
    Unsupported,
)
from jacengine.layers.autotune import tuned
from jacengine.layers.contraction import (
    BlockWriter,
    CapturedPass,
    capture_pass,
    constant_block,
    contractor,
    group_calls,
    per_sample_vjp,
)
from jacengine.layers.contraction_plan import ContractionPlan, make_plan
from jacengine.problem.problem import Problem


@final
@dataclass(frozen=True)
class QuasiLinear(Strategy):
    """Hooks, one batched backward pass, one contraction a layer.

    Attributes:
        plans: How each layer call is contracted, for each number of samples that was
            prepared for.
    """

    plans: Mapping[int | None, ContractionPlan] = field(
        default_factory=dict[int | None, ContractionPlan], compare=False
    )

    name: ClassVar[str] = "quasi_linear"
    summary: ClassVar[str] = "layer inputs x cotangents, contracted layer by layer"
    source: ClassVar[str] = "ChenAo-Phys/pytorch-Jacobian; BackPACK"
    wins: ClassVar[str] = "per-sample parameter Jacobians of layered models"
    capabilities: ClassVar[Capabilities] = Capabilities(
        mode="vjp",
        gradients=(),
        per_sample_shared=True,
        writes_out=True,
        tunable=True,
        trusted=True,
    )

    def check(self, problem: Problem) -> Unsupported | None:
        """Decline inputs: it computes the blocks of parameters of layers."""
        if not problem.call_spec.names:
            return Unsupported("differentiates parameters of modules, not inputs")
        return None

    def passes(self, blocks: int) -> Passes:
        """One forward pass, and a backward pass a chunk."""
        return Passes(forward=1, backward=blocks)

    def prepare(
        self, point: Point, tuning: Tuning, *, timed: bool
    ) -> tuple[QuasiLinear, Tuning]:
        """Plan how each layer call is contracted, in a few passes.

        Args:
            point: An example of the points it will be linearized at.
            tuning: The implementations to use.
            timed: Whether to time implementations where the tuning has no entry; else
                the defaults are used.

        Returns:
            The prepared strategy, and the tuning with entries for all its choices at
            such points.

        Raises:
            ArgumentError: The tuning names an implementation that does not exist.
        """
        known = self.plans.get(point.batch_size)
        plan = known or make_plan(point)
        if not plan.sample_axis_known:
            return self, tuning  # to be planned at every point
        plan, tuning = tuned(point, plan, tuning, timed=timed and known is None)
        return replace(self, plans={**self.plans, point.batch_size: plan}), tuning

    def linearize(self, point: Point) -> LinearMap:
        """Run the module once and capture its layer calls."""
        return _linear_map(capture_pass(point, self.plans.get(point.batch_size)), point)


def _linear_map(captured: CapturedPass, point: Point) -> LinearMap:
    contractors = [
        (members, contractor(captured, members)) for members in group_calls(captured)
    ]

    def linear_map(seeds: Tensors, out: Tensors | None = None) -> Tensors:
        writers: list[list[BlockWriter]] = [[] for _ in captured.primals]
        cotangents = captured.output_cotangents(seeds)
        for members, contract in contractors:
            for index, write in contract([cotangents[i] for i in members]).items():
                writers[index].append(write)
        for index in captured.plan.vjp_parameters:
            block = per_sample_vjp(
                captured.outputs,
                captured.primals[index],
                seeds,
                point.batch_size,
                create_graph=captured.create_graph,
            )
            writers[index].append(constant_block(block))
        count = seeds[0].shape[0]
        return tuple(
            _total(primal, writers[i], count, point.batch_size, out[i] if out else None)
            for i, primal in enumerate(captured.primals)
        )

    return linear_map


def _total(
    primal: Tensor,
    writers: Sequence[BlockWriter],
    count: int,
    batch_size: int | None,
    out: Tensor | None,
) -> Tensor:
    """Sum the contributions to one block; the first is written, the others added."""
    target = out if out is None or batch_size is not None else out.unsqueeze(1)
    if not writers:
        shape = (count, batch_size or 1, *primal.shape)
        block = primal.new_zeros(shape) if target is None else target.zero_()
    else:
        block = writers[0](target)
        for write in writers[1:]:
            block = block + write(None) if target is None else block.add_(write(None))
    if out is not None:
        return out
    return block if batch_size is not None else block.squeeze(1)
