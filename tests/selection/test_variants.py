"""Which candidates are compiled."""

from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, cat

import jacengine
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.variants import compiled_variants
from tests.problems import randn


def _results(outputs: int, **times: float) -> tuple[Problem, list[CandidateResult]]:
    """Return a problem of 6 inputs, and its candidates as if they had been raced."""
    weight = randn(outputs, 6)

    def fn(x: Tensor) -> Tensor:
        return (weight @ x).tanh()

    options: Any = {"effort": "none", "compiled": False}
    plans = {
        name: jacengine.plan(fn, randn(6), strategies=[name], **options)
        for name in times
    }
    results = [replace(plans[name].chosen, time_s=times[name]) for name in times]
    return next(iter(plans.values())).problem, results


def _skipped(results: list[CandidateResult]) -> list[CandidateResult]:
    return [replace(result, outcome="skipped", reason="slow") for result in results]


@pytest.mark.parametrize("names", [("vmap_jvp", "vmap_vjp"), ("vmap_vjp", "vmap_jvp")])
def test_the_other_mode_is_compiled_though_it_was_skipped(
    names: tuple[str, str],
) -> None:
    leader, other = names
    times = {leader: 1e-3, "reverse_loop": 1.0, "double_vjp_repeat": 1.0, other: 1.0}
    problem, (first, *rest) = _results(6, **times)
    found = list(compiled_variants(problem, [first], _skipped(rest), 2**30))
    assert [result.strategy for result in found] == [leader, other]
    assert all(result.compiled and result.outcome == "ok" for result in found)
    assert not any(result.reason for result in found)


def test_not_where_it_takes_many_more_directions() -> None:
    problem, (first, *rest) = _results(40, vmap_jvp=1e-3, vmap_vjp=1.0)
    found = compiled_variants(problem, [first], _skipped(rest), 2**30)
    assert [result.strategy for result in found] == ["vmap_jvp"]


def test_it_comes_before_others_that_are_near() -> None:
    problem, ranked = _results(6, vmap_vjp=1.0, reverse_loop=1.1, vmap_jvp=9.0)
    found = compiled_variants(problem, ranked, [], 2**30)
    names = [result.strategy for result in found]
    assert names == ["vmap_vjp", "vmap_jvp", "reverse_loop"]


def test_what_does_not_fit_twice_is_not_compiled() -> None:
    problem, [result] = _results(6, vmap_vjp=1.0)
    assert result.predicted_bytes
    budget = 2 * result.predicted_bytes - 1
    assert not list(compiled_variants(problem, [result], [], budget))
    assert not list(compiled_variants(problem, [], [], budget))


def test_far_fewer_directions_are_compiled_though_they_are_slower() -> None:
    def arrow(x: Tensor) -> Tensor:
        return cat([x.square().sum().reshape(1), x[1:] * x[0] + x[1:].sin()])

    options: Any = {"layout": "values", "compiled": False}
    plan = jacengine.plan(
        arrow, randn(40), strategies=["vmap_jvp", "vmap_vjp"], **options
    )
    tried = [r for r in plan.selection.candidates if r.method is not None]
    ways = [r for r in tried if r.strategy == "vmap_jvp"]
    one, *_, two = sorted(
        ways, key=lambda r: r.method is not None and bool(r.method.other)
    )
    ranked = [replace(one, time_s=1.0), replace(two, time_s=2.0)]
    found = compiled_variants(plan.problem, ranked, [], 2**30)
    methods = [result.method for result in found]
    assert [bool(method and method.other) for method in methods] == [False, True]
    far = [ranked[0], replace(two, time_s=4.0)]
    assert len(list(compiled_variants(plan.problem, far, [], 2**30))) == 1
