"""One forward pass with its layer calls, and the cotangents that reach those."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.interface import Point
from jacengine.layers.contraction_plan import ContractionPlan, make_plan, run_captured
from jacengine.layers.edge_vjp import vjp_at_edges
from jacengine.layers.hook_capture import LayerCall


@dataclass(frozen=True)
class CapturedPass:
    """A forward pass of a module.

    Attributes:
        plan: How its layer calls are contracted.
        calls: Those calls, in order.
        outputs: The outputs of the pass.
        primals: The parameters, as the graph of the pass has them.
        create_graph: Whether what is derived from it must be differentiable in turn.
    """

    plan: ContractionPlan
    calls: tuple[LayerCall, ...]
    outputs: Tensors
    primals: Tensors
    create_graph: bool

    def output_cotangents(
        self, seeds: Tensors, vectorisation: Vectorisation | None = None
    ) -> list[list[Tensor | None]]:
        """Pull cotangents `(K, ...)` back to the outputs of each call.

        Args:
            seeds: One an output.
            vectorisation: How many at once, if not as in the plan.
        """
        found = iter(
            vjp_at_edges(
                self.outputs,
                [edge for call in self.calls for edge in call.edges],
                seeds,
                vectorisation=vectorisation or self.plan.vectorisations[0],
                create_graph=self.create_graph,
            )
        )
        return [[next(found) for _ in call.edges] for call in self.calls]


def capture_pass(point: Point, known: ContractionPlan | None) -> CapturedPass:
    """Run a module once and capture its layer calls.

    Args:
        point: The module and its parameters.
        known: The plan of other points of the same signature, if there is one.

    Raises:
        RuntimeError: Every forward pass calls other layers.
    """
    plan = known or make_plan(point)
    primals, outputs, calls, missed = run_captured(
        point, plan.units, plan.graph_parameters
    )
    if plan.matches(outputs, calls, missed):
        return CapturedPass(plan, tuple(calls), outputs, primals, point.create_graph)
    if known is None:
        raise RuntimeError("every forward pass calls other layers")
    # The module takes another branch at this point than at those before.
    return capture_pass(point, None)
