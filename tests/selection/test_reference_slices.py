"""Second derivatives in slices of samples: the same reference, only where it is one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.problem.problem import Problem
from jacengine.selection.reference import Reference
from tests.contract.compare import assert_same
from tests.problems import mlp, randn

X = randn(24, 6)
MODEL = mlp(6, 16, 1)


def smooth(x: Tensor) -> Tensor:
    return x.sin().prod(-1) + x.square().sum(-1)


def of_all(x: Tensor) -> Tensor:
    """Depend on the number of samples, but not on the samples."""
    return (x - X).square().sum(-1) / len(x)


def of_24(x: Tensor) -> Tensor:
    return x.view(24, -1).square().sum(-1)


def references(fn: Callable[..., Any], **options: Any) -> tuple[Problem, Any, Any]:
    plan = jacengine.plan(fn, X, batch_dim=0, effort="none", **options)
    problem = plan.problem
    call = problem.bind(plan.callee, [X])
    budget = 3 * problem.forward_bytes
    sliced = Reference.of(problem, call, budget=budget)
    return problem, Reference.of(problem, call), sliced


@pytest.mark.parametrize("quantity", ["hessian", "hessian_diagonal", "laplacian"])
@pytest.mark.parametrize(
    ("fn", "wrt"), [(smooth, 0), (lambda x: MODEL(x)[:, 0], 0), (MODEL, "params")]
)
def test_slices_give_the_same(fn: Any, wrt: Any, quantity: Any) -> None:
    _, whole, sliced = references(fn, wrt=wrt, quantity=quantity)
    assert len(whole.slices) == 1
    assert len(sliced.slices) > 1
    assert_same(sliced.seeds, whole.seeds, 0)
    assert_same(sliced.products, whole.products, 1e-12)
    if whole.diagonal is not None:
        assert_same(sliced.diagonal.values, whole.diagonal.values, 1e-12)
        assert_same(sliced.diagonal.rows, whole.diagonal.rows, 1e-12)


@pytest.mark.parametrize("fn", [of_all, of_24])
def test_functions_of_the_whole_batch(fn: Any) -> None:
    # At X, of_all and its gradient are zero for any number of samples.
    _, whole, sliced = references(fn, quantity="hessian")
    assert len(sliced.slices) == 1
    assert_same(sliced.products, whole.products, 0)


def test_first_order_needs_no_slices() -> None:
    _, _, sliced = references(nn.Tanh())
    assert len(sliced.slices) == 1


def test_right_within_a_small_budget() -> None:
    fn, x = of_all, X + 1
    wanted = 2 / 24 * torch.eye(6, dtype=X.dtype).expand(24, 6, 6)
    found = jacengine.hessian(fn, x, batch_dim=0, memory_budget=40_000)
    assert_same(found, wanted, 1e-12)
