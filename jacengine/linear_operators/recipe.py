"""How operators of a signature are made: by layers, sparse, or by products."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from jacengine.linear_operators.factored import factor_by_layers
from jacengine.linear_operators.matrix_free import (
    ImplicitMatrix,
    Linearization,
    MatrixFree,
)
from jacengine.linear_operators.method_pair import fastest, vjp_agrees
from jacengine.linear_operators.sparse import sparse_matrix
from jacengine.plans.examine import examine
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.signature import Signature


@dataclass(frozen=True)
class Recipe:
    """How operators of a signature are made; chosen and verified once.

    `matrix` makes that of a bound function, and `method` says how, in words.
    """

    problem: Problem
    signature: Signature
    matrix: Callable[[BoundFunction], ImplicitMatrix]
    method: str


def make_recipe(request: PlanRequest, *, timed: bool) -> Recipe:
    """Choose and verify how operators of a call are made."""
    problem, bound, reference = examine(request)
    names = problem.call_spec.names
    signature = Signature.of(request.callee, request.args, request.kwargs, names)
    for composition in request.compositions:
        contracts = composition.capabilities.per_sample_shared
        if contracts and composition.strategy.check(problem) is None:
            factored = factor_by_layers(problem, bound, composition)
            if factored is not None and vjp_agrees(factored(bound), problem, reference):
                return Recipe(problem, signature, factored, "by layers")
    sparse = sparse_matrix(request, problem, timed=timed)
    if sparse is not None:
        matrix, method = sparse
        if vjp_agrees(matrix(bound), problem, reference):
            return Recipe(problem, signature, matrix, method)
    choose = functools.partial(
        fastest, problem, bound, reference, request.compositions, timed=timed
    )
    jvp, vjp = choose("jvp"), choose("vjp")

    def matrix_free(bound: BoundFunction) -> ImplicitMatrix:
        jvps = Linearization(problem, bound, jvp)
        return MatrixFree(problem, jvps, Linearization(problem, bound, vjp))

    method = f"JVPs by {jvp.name}, VJPs by {vjp.name}"
    return Recipe(problem, signature, matrix_free, method)
