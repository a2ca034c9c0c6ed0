"""`compiled=` and `calls=` reach the plan of every function that chooses a method."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.plans import planning
from jacengine.plans.cached_plan import CachedPlan
from jacengine.plans.plan import Plan
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.problem import Problem
from jacengine.selection.effort import LIMITS
from tests.compiling import COMPILING, programs
from tests.problems import randn

pytestmark = COMPILING

FUNCTIONS: list[Callable[..., Any]] = [
    jacengine.auto,
    jacengine.jacobian,
    jacengine.value_and_jacobian,
    jacengine.hessian,
    jacengine.hessian_diagonal,
    jacengine.laplacian,
    jacengine.diagonal,
    jacengine.divergence,
    jacengine.logabsdet,
]


def field(x: Tensor) -> Tensor:
    return x.sin() * x.roll(1, -1)


def energy(x: Tensor) -> Tensor:
    return field(x).sum(-1)


def _problem_of(cached: CachedPlan) -> Problem:
    return cached.plan.problem


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[PlanRequest, Plan]]:
    """Note every plan that is made, with what it was made for."""
    made: list[tuple[PlanRequest, Plan]] = []
    bind = planning._bound

    def noted(problem: Any, selection: Any, signature: Any, request: Any) -> Plan:
        plan = bind(problem, selection, signature, request)
        if request.compiled is True:  # however slow that is
            plan._use(tuple(r for r in plan.selection.ranked if r.compiled))
        made.append((request, plan))
        return plan

    monkeypatch.setattr(planning, "_bound", noted)
    # Nothing is stopped where other work slows it down.
    monkeypatch.setitem(LIMITS, "quick", LIMITS["thorough"])
    monkeypatch.setattr(planning, "_PLANS", ProcessCache[CachedPlan](_problem_of))
    return made


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_reach_the_plan(
    function: Callable[..., Any], planned: list[tuple[PlanRequest, Plan]]
) -> None:
    x = randn(2, 3)
    function(field, x, batch_dim=0)
    function(field, x, batch_dim=0, compiled=False, calls=2)
    passed = [(request.compiled, request.calls) for request, _ in planned]
    assert passed == [("auto", None), (False, 2)]


@pytest.mark.parametrize("options", [{"compiled": "yes"}, {"calls": 0}])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_no_such_option_is_refused(
    function: Callable[..., Any], options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(jacengine.ArgumentError, match=f"{name}=.*expected"):
        function(field, randn(2, 3), batch_dim=0, **options)


@pytest.mark.parametrize("options", [{"compiled": True}, {"calls": 3}])
def test_a_named_strategy_is_not_compiled(options: dict[str, Any]) -> None:
    with pytest.raises(jacengine.ArgumentError, match="belong to strategy='auto'"):
        jacengine.jacobian(field, randn(3), strategy="vmap_vjp", **options)


def _hessians(x: Tensor) -> Tensor:
    found: Tensor = torch.func.vmap(torch.func.hessian(energy))(x)
    return found


def _diagonals(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1)


def _jacobians(x: Tensor) -> Tensor:
    found: Tensor = torch.func.vmap(torch.func.jacrev(field))(x)
    return found


WANTED: dict[Callable[..., Any], tuple[Any, Callable[[Tensor], Tensor]]] = {
    jacengine.jacobian: (field, _jacobians),
    jacengine.hessian: (energy, _hessians),
    jacengine.hessian_diagonal: (energy, lambda x: _diagonals(_hessians(x))),
    jacengine.laplacian: (energy, lambda x: _diagonals(_hessians(x)).sum(-1)),
    jacengine.diagonal: (field, lambda x: _diagonals(_jacobians(x))),
    jacengine.divergence: (field, lambda x: _diagonals(_jacobians(x)).sum(-1)),
}
"""What each function computes of what, by torch alone."""


@pytest.mark.parametrize("function", WANTED)
def test_the_first_call_compiles_and_is_right(
    function: Callable[..., Any], planned: list[tuple[PlanRequest, Plan]]
) -> None:
    fn, right = WANTED[function]
    for x in (randn(5, 3), randn(5, 3, seed=1)):
        found = function(fn, x, batch_dim=0, compiled=True)
        torch.testing.assert_close(found, right(x))
    ((_, plan),) = planned
    assert plan.chosen.compiled
    assert programs(plan) > 0


def test_products_of_an_estimate_stay_eager(
    planned: list[tuple[PlanRequest, Plan]],
) -> None:
    x = randn(4, 3)
    options: dict[str, Any] = {"method": "hutchinson", "probes": 4, "seed": 1}
    estimates = [
        jacengine.laplacian(energy, x, compiled=compiled, **options)
        for compiled in (True, False)
    ]
    torch.testing.assert_close(estimates[0].value, estimates[1].value)
    assert not any(plan.chosen.compiled for _, plan in planned)
