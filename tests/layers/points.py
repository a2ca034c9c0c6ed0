"""Points to linearize modules at, by their parameters and for each sample."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from jacengine.interface import Point
from jacengine.layers.contraction_plan import ContractionPlan, make_plan
from tests.problems import prepared

PER_SAMPLE: dict[str, Any] = {"wrt": "params", "batch_dim": 0}


def point_of(model: nn.Module, *args: Tensor) -> Point:
    """Return the point of a module at some arguments."""
    problem, bound = prepared(model, *args, **PER_SAMPLE)
    return Point(
        bound,
        bound,
        bound.primals(connected=False),
        module=model,
        calling=lambda module: replace(bound, fn=module),
        names=problem.call_spec.names,
        batch_size=problem.batch_size,
    )


def plan_of(model: nn.Module, *args: Tensor) -> ContractionPlan:
    """Return how the layer calls of a module are contracted."""
    return make_plan(point_of(model, *args))
