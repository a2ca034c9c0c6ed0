"""One forward pass with every layer watched, and cotangents that reach the layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from jacengine._torchfunc import Tensors, Vectorisation
from jacengine.interface import Point
from jacengine.layers.contraction_plan import ContractionPlan, assign, watched
from jacengine.layers.edge_vjp import arriving_cotangents
from jacengine.layers.hook_capture import LayerCall


@dataclass(frozen=True)
class Captured:
    """A forward pass of a module.

    Attributes:
        assignment: Who answers for which parameter in it.
        visits: The calls of those who do, in order.
        outputs: What the pass gave.
        primals: The parameters it was given, as its graph has them.
        create_graph: Whether what is derived from it must be differentiable in turn.
    """

    assignment: ContractionPlan
    visits: tuple[LayerCall, ...]
    outputs: Tensors
    primals: Tensors
    create_graph: bool

    def arriving(
        self, seeds: Tensors, vectorisation: Vectorisation | None = None
    ) -> list[list[Tensor | None]]:
        """Pull cotangents `(K, ...)` back to what each call returned, call by call.

        Args:
            seeds: One an output.
            vectorisation: How, if not as the assignment says.
        """
        edges = [edge for visit in self.visits for edge in visit.edges]
        found = iter(
            arriving_cotangents(
                self.outputs,
                edges,
                seeds,
                vectorisation=vectorisation or self.assignment.vectorisations[0],
                create_graph=self.create_graph,
            )
        )
        return [[next(found) for _ in visit.edges] for visit in self.visits]


def captured(point: Point, known: ContractionPlan | None) -> Captured:
    """Run a module once, watching its layers.

    Args:
        point: The module and its parameters.
        known: Who answered for what at other points like it, if that is known.

    Raises:
        RuntimeError: Every forward pass calls other layers.
    """
    assignment = known or assigned(point)
    root, primals = module_of(point), point.tracked()
    outputs, visits, missed = watched(
        root, assignment.units, assignment.read, point.function, primals
    )
    if not assignment.covers(outputs, visits, missed):
        if known is None:
            raise RuntimeError("every forward pass calls other layers")
        # This point takes another way through the module than those before.
        return captured(point, None)
    return Captured(assignment, tuple(visits), outputs, primals, point.create_graph)


def module_of(point: Point) -> nn.Module:
    """Return the module whose parameters are differentiated."""
    assert point.module is not None
    return point.module


def assigned(point: Point) -> ContractionPlan:
    """Find who answers for which parameter; takes a few passes."""
    return assign(
        module_of(point),
        point.names,
        point.tracked(),
        point.function,
        point.batch_size,
    )
