"""One product with a Hessian."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError, kind_of, to_tensor_advice
from jacengine.execution.method import Method
from jacengine.linear_operators.matrix_free import Linearization
from jacengine.linear_operators.method_pair import fastest
from jacengine.plans.examine import examine
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.problem import Problem
from jacengine.results.result_layout import nest_gradient

_METHODS = ProcessCache[tuple[Problem, Method]](lambda found: found[0])


def multiply_hessian(request: PlanRequest, vector: Any) -> Any:
    """Multiply the Hessian of a call with a vector, by the first right method.

    Args:
        request: A call of quantity `hessian`.
        vector: Nested and shaped as what is differentiated by.

    Raises:
        ArgumentError: `vector` is not of the inputs' structure or shapes.
        JacengineError: As `auto`.
    """
    slot = _METHODS.slot(request)
    found = slot.value
    if found is None:
        found = _choose(request)
        slot.keep(found)
    problem, method = found
    refuse_lost_derivatives(
        request.callee, request.leaves, create_graph=request.options.create_graph
    )
    bound = problem.bind(request.callee, request.leaves)
    seeds = _tangents(problem, vector)
    products = Linearization(problem, bound, method)(seeds)
    return nest_gradient(problem, [product.squeeze(0) for product in products])


def _choose(request: PlanRequest) -> tuple[Problem, Method]:
    """Find the first right method of a call."""
    problem, bound, reference = examine(request)
    compositions = request.compositions
    method = fastest(problem, bound, reference, compositions, "jvp", timed=False)
    return problem, method


def _tangents(problem: Problem, vector: Any) -> tuple[Tensor, ...]:
    """Flatten a vector to one tangent an input, `(1, *in)`.

    Raises:
        ArgumentError: It is not of the inputs' structure or shapes.
    """
    spec = problem.call_spec
    given, structure = pytrees.flatten(vector)
    if structure.spec != spec.nesting.spec:
        raise ArgumentError(
            f"vector= nests as {structure.spec}, but what is differentiated by nests "
            f"as {spec.nesting.spec}."
        )
    found: dict[int, Tensor] = {}
    for place, entry in zip(spec.places, given, strict=True):
        if place is None:
            continue
        part, input_spec = entry, spec.inputs[place]
        samples = () if input_spec.batch_dim is None else (problem.sample_count,)
        shape = (*samples, *input_spec.shape)
        if isinstance(entry, Tensor) and input_spec.batch_dim:
            part = entry.movedim(input_spec.batch_dim, 0)
        if not isinstance(part, Tensor) or tuple(part.shape) != shape:
            got = tuple(part.shape) if isinstance(part, Tensor) else kind_of(part)
            raise ArgumentError(
                f"vector= has {got} where {input_spec.label} has shape {shape}."
                f"{to_tensor_advice(part)}"
            )
        if place in found and not torch.equal(found[place], part):
            raise ArgumentError(
                f"vector= has different values for {input_spec.label}, which has two "
                "names."
            )
        found[place] = part
    return tuple(
        found[i].to(each.dtype).unsqueeze(0) for i, each in enumerate(spec.inputs)
    )
