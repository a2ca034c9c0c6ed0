"""Plans of sparse Jacobians: the pattern of a request, and what it may not miss."""

from __future__ import annotations

from dataclasses import replace

from jacengine.detection.detect import find_pattern, is_asked_for, sparse_rows
from jacengine.errors import PatternError
from jacengine.execution.method import Method
from jacengine.execution.pattern_check import OUTSIDE
from jacengine.execution.sweep import Sweep
from jacengine.patterns.pattern import Pattern
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.select import Selection


def with_pattern(
    problem: Problem,
    request: PlanRequest,
    known: Pattern | None = None,
    *,
    worth_s: float = 0.0,
) -> Problem:
    """Return the problem of a request with its pattern, if it has one that pays.

    Nonzeros that are `known` are added to what is found. What nobody asks for is not
    looked for where J takes less than `worth_s` seconds without.

    Raises:
        ArgumentError: The user's pattern is of another shape.
        UnsupportedError: A sparse result is wanted where there is none.
    """
    bound = problem.bind(request.callee, request.leaves)
    if worth_s and not is_asked_for(problem):
        rows = sparse_rows(problem, bound)
        if rows is None:
            return problem
        if rows.whole_s < worth_s:
            return replace(problem, looks_sparse=True)
    found = find_pattern(problem, bound, request.compositions)
    given = isinstance(request.options.sparsity, Pattern)
    if found is not None and known is not None and not given:
        found = found.union(known)
    return problem if found is None else replace(problem, pattern=found)


def refuse_small_pattern(
    problem: Problem, bound: BoundFunction, selection: Selection
) -> None:
    """Refuse a pattern of the user's that has not all nonzeros.

    Raises:
        PatternError: Every candidate that uses it finds another nonzero.
    """
    if selection.ranked or not isinstance(problem.options.sparsity, Pattern):
        return
    wrong = [result for result in selection.candidates if result.outcome == "wrong"]
    for result in wrong:
        if OUTSIDE in result.reason:
            raise PatternError(result.reason)
    for result in wrong:
        if result.method is not None:
            verify_pattern(problem, bound, result.method)


def verify_pattern(problem: Problem, bound: BoundFunction, method: Method) -> None:
    """Compute once with the random direction that `verify=False` leaves out.

    Raises:
        PatternError: J has a nonzero outside of its pattern.
    """
    if problem.pattern is not None and not problem.options.verify:
        options = replace(problem.options, verify=True)
        Sweep(replace(problem, options=options), method).run(bound)
