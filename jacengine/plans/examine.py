"""What there is to know of a call before a method is chosen for it."""

from __future__ import annotations

from jacengine.plans.analysis import analyze_request
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.finite_differences import disagreement, warn_of
from jacengine.selection.reference import Reference


def examine(request: PlanRequest) -> tuple[Problem, BoundFunction, Reference]:
    """Analyze a call, and compute what its results are compared with.

    Warns if finite differences disagree with a reference that is not certain.

    Raises:
        JacengineError: As `auto`.
    """
    problem = analyze_request(request)
    bound = problem.bind(request.callee, request.leaves)
    reference = Reference.of(problem, bound)
    doubt = None
    if not reference.certain:
        doubt = disagreement(problem, bound, reference)
    warn_of(doubt, problem.title, reached=reference.reached)
    return problem, bound, reference
