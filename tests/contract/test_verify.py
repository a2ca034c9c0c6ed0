"""`verify=False`: no random direction at calls, and the same verification at first."""

from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.patterns.given import as_pattern
from tests.problems import randn

TRIDIAGONAL = as_pattern(torch.ones(9, 9, dtype=torch.bool).tril(1).triu(-1))
LAYOUTS: tuple[Any, ...] = ("dict", "flat", "coo", "csr", "values")


def coupled(x: Tensor) -> Tensor:
    """Couple neighbours in a ring: two corners of J are outside of three bands."""
    return x.sin() * x.roll(1)


def chain(x: Tensor) -> Tensor:
    """Couple neighbours in a chain: three bands."""
    zero = x.new_zeros(1)
    return x.sin() * torch.cat([zero, x[:-1]]) + torch.cat([x[1:].cos(), zero])


def branching(x: Tensor) -> Tensor:
    """Have a larger pattern where the first entry is positive."""
    return coupled(x) if float(x.detach()[0]) > 0 else chain(x)


def reference(fn: Any, x: Tensor) -> Tensor:
    J: Tensor = torch.autograd.functional.jacobian(fn, x)
    return J


def directions(plan: jacengine.Plan) -> int:
    method = plan.chosen.method
    assert method is not None
    return method.directions(plan.problem)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_result_is_the_same_with_one_direction_less(layout: Any) -> None:
    x = randn(9)
    plans = [
        jacengine.plan(
            chain, x, layout=layout, sparsity=TRIDIAGONAL, verify=verify, effort="none"
        )
        for verify in (True, False)
    ]
    assert [directions(plan) for plan in plans] == [3 + 1, 3]
    there = randn(9, seed=5)
    found = plans[1](there)
    if layout in {"coo", "csr"}:
        found = found.to_dense()
    wanted = reference(chain, there)
    if layout == "values":
        wanted = wanted[TRIDIAGONAL.rows, TRIDIAGONAL.columns]
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("strategy", ["vmap_jvp", "vmap_vjp", "reverse_loop"])
@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_named_strategies(strategy: str, chunk_size: int | None) -> None:
    x = randn(9)
    J = jacengine.jacobian(
        chain,
        x,
        strategy=strategy,
        chunk_size=chunk_size,
        sparsity=TRIDIAGONAL,
        verify=False,
    )
    torch.testing.assert_close(J, reference(chain, x))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pattern_that_is_too_small_is_refused_at_first(layout: Any) -> None:
    x = randn(9)
    options: dict[str, Any] = {
        "layout": layout,
        "verify": False,
        "sparsity": TRIDIAGONAL,
    }
    with pytest.raises(jacengine.PatternError, match="given by the user"):
        jacengine.auto(coupled, x, **options)
    with pytest.raises(jacengine.PatternError, match="given by the user"):
        jacengine.plan(coupled, x, **options)
    for strategy in ("vmap_jvp", "vmap_vjp"):
        with pytest.raises(jacengine.PatternError, match="given by the user"):
            jacengine.jacobian(coupled, x, strategy=strategy, **options)


def test_later_calls_are_not_checked() -> None:
    x = randn(9)
    x[0] = -1
    checked = jacengine.plan(branching, x, sparsity=TRIDIAGONAL)
    with pytest.raises(jacengine.PatternError):
        checked(-x)
    unchecked = jacengine.plan(branching, x, sparsity=TRIDIAGONAL, verify=False)
    assert unchecked(-x).shape == (9, 9)


def test_both_are_cached_apart() -> None:
    x = randn(9)
    x[0] = -1
    options: dict[str, Any] = {"sparsity": TRIDIAGONAL, "layout": "values"}
    for verify in (False, True):
        jacengine.auto(branching, x, verify=verify, **options)
    jacengine.auto(branching, -x, verify=False, **options)
    with pytest.raises(jacengine.PatternError):
        jacengine.auto(branching, -x, verify=True, **options)


def test_saved_plans_are_of_one_or_the_other(tmp_path: Any) -> None:
    x, path = randn(9), tmp_path / "plan.json"
    jacengine.plan(chain, x, sparsity=TRIDIAGONAL, verify=False).save(path)
    loaded = jacengine.load_plan(path, chain, x, sparsity=TRIDIAGONAL, verify=False)
    torch.testing.assert_close(loaded(x), reference(chain, x))
    with pytest.raises(jacengine.PlanMismatchError, match="made with"):
        jacengine.load_plan(path, chain, x, sparsity=TRIDIAGONAL, verify=True)


def test_hessians() -> None:
    def energy(x: Tensor) -> Tensor:
        return (x[1:] * x[:-1]).sin().sum()

    x = randn(9)
    wanted: Any = torch.autograd.functional.hessian(energy, x)
    found = jacengine.hessian(energy, x, sparsity="detect", verify=False)
    torch.testing.assert_close(found, wanted)
    small = as_pattern(torch.eye(9, dtype=torch.bool))
    with pytest.raises(jacengine.PatternError):
        jacengine.hessian(energy, x, sparsity=small, verify=False)


def test_compiled_plans() -> None:
    x, there = randn(300), randn(300, seed=8)
    plan = jacengine.plan(
        chain, x, layout="values", sparsity="detect", verify=False, compiled=True
    )
    pattern = plan.problem.pattern
    assert pattern is not None
    wanted = reference(chain, there)[pattern.rows, pattern.columns]
    torch.testing.assert_close(plan(there), wanted)


@pytest.mark.parametrize("verify", [0, None, "no"])
def test_what_is_no_boolean_is_refused(verify: Any) -> None:
    with pytest.raises(jacengine.ArgumentError, match="expected True, or False"):
        jacengine.auto(chain, randn(9), verify=verify)
