"""Where no method is right, the function itself may be another one at each call."""

from __future__ import annotations

import torch

from jacengine.errors import RandomnessError
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.tolerance import TOLERANCES


def refuse_unrepeatable(problem: Problem, bound: BoundFunction) -> None:
    """Compare two calls of a function on the same arguments.

    Raises:
        RandomnessError: They return different values.
    """
    with torch.no_grad(), problem.preserve_side_effects(bound.callee):
        calls = [bound.run(bound.leaves).leaves for _ in range(2)]
    for one, other in zip(*calls, strict=True):
        tolerance = TOLERANCES[one.dtype].value
        if not torch.allclose(
            one, other, rtol=tolerance, atol=tolerance, equal_nan=True
        ):
            raise RandomnessError(
                "The function returns other values when it is called on the same "
                "arguments again, so it has no Jacobian: it draws random numbers, or "
                "keeps state, in a place that is not seen. Pass what it draws as an "
                "argument, or reseed the generator inside the function."
            )
