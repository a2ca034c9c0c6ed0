"""Is what a method computed right?"""

from __future__ import annotations

from dataclasses import replace

from jacengine.execution.method import Execution, Method
from jacengine.execution.sweep import compute
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.selection.reference import Reference
from jacengine.selection.verification import Verification


def verify(
    problem: Problem,
    bound: BoundFunction,
    method: Method,
    reference: Reference,
    result: Result,
) -> Verification:
    """Judge a result; a diagonal of which some entries are known, by those alone.

    Args:
        problem: What was computed.
        bound: The function at the arguments.
        method: How.
        reference: What it must be.
        result: What the method computed.
    """
    diagonal = reference.diagonal
    if diagonal is None or diagonal.columns is None:
        return reference.judge(result)
    # What is compiled computes the whole, and was compared with the eager sweep.
    eager = replace(method, execution=Execution.EAGER)
    return diagonal.judge(compute(diagonal.restricted(problem), bound, eager))
