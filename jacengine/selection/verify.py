"""Is what a method computed right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from jacengine.execution.method import Execution, Method
from jacengine.execution.sweep import accumulate
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.reference import Reference
from jacengine.selection.tolerance import Verification


def verify(
    problem: Problem,
    bound: BoundFunction,
    method: Method,
    reference: Reference,
    blocks: Sequence[Sequence[Tensor]],
) -> Verification:
    """Judge a result; where the truth knows some entries of it, compute those again.

    Args:
        problem: What was computed.
        bound: The function at the arguments.
        method: How.
        reference: What is right.
        blocks: The result.
    """
    exact = reference.exact
    if exact is None or exact.columns is None:
        return reference.judge(blocks)
    # What is compiled is of the whole, and was compared with this.
    eager = replace(method, execution=Execution.EAGER)
    return exact.judge(accumulate(exact.restricted(problem), bound, eager))
