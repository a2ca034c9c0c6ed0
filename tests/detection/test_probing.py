"""Patterns that are found by probing, where a function has no program."""

from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.detection import detect
from jacengine.detection.probing import probe
from jacengine.interface import Composition, compositions
from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern
from jacengine.strategies import BUILTIN
from tests.contract.test_sparse import brusselator, chain, heat
from tests.problems import mlp, prepared, randn

EVERY = [Composition(s) for s in BUILTIN]
PRODUCTS = [s for s in BUILTIN if s.capabilities.mode in {"jvp", "vjp"}]


def probed(fn: Any, *args: Tensor, among: Any = EVERY, **options: Any) -> Any:
    problem, bound = prepared(fn, *args, **options)
    return probe(problem, bound, among)


@pytest.mark.parametrize("strategy", PRODUCTS, ids=lambda s: s.name)
@pytest.mark.parametrize("n", [2, 3, 17, 64, 100])
def test_it_is_what_the_program_says(strategy: Any, n: int) -> None:
    x = randn(n + 2)
    problem, _ = prepared(heat, x)
    if strategy.check(problem) is not None:
        return
    found = probed(heat, x, among=[Composition(strategy)])
    assert found == jacengine.sparsity(heat, x)


def test_it_takes_far_fewer_products_than_there_are_columns() -> None:
    found = probed(brusselator, randn(2, 16, 16))
    assert found == jacengine.sparsity(brusselator, randn(2, 16, 16))
    count = int(found.origin.split()[2])
    assert count / 3 < 2 * 16 * 16 / 2  # at each of three points


def test_of_one_sample() -> None:
    found = probed(chain, randn(5, 90), batch_dim=0)
    assert found.shape == (89, 90)
    assert found.nnz == 2 * 89


def test_dense_matrices_are_declined() -> None:
    assert probed(mlp(200, 200), randn(200)) is None


def test_points_nearby_show_what_is_zero_by_chance() -> None:
    x = torch.ones(40, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return (x - x.mean().detach()) * x.roll(1)  # x.roll(1)'s factor is zero at x

    assert probed(fn, x).nnz == 80


def test_points_without_a_derivative_do_not_make_it_dense() -> None:
    x = 1e-3 * torch.ones(40, dtype=torch.float64)
    found = probed(torch.log, x * torch.linspace(1, 900, 40, dtype=torch.float64))
    assert found == as_pattern(torch.eye(40, dtype=torch.bool))


def test_hessians() -> None:
    def energy(x: Tensor) -> Tensor:
        return (x[1:] * x[:-1]).sin().sum()

    second = [c for s in PRODUCTS for c in compositions(s) if c.gradient is not None]
    for composition in second:
        found = probed(energy, randn(70), among=[composition], quantity="hessian")
        if found is None:  # it does not take this function
            continue
        assert found == jacengine.sparsity(energy, randn(70), quantity="hessian")


def test_functions_without_a_program_are_probed() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.sin()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return 2 * grads[0]

    fn: Any = Doubled.apply
    pattern = jacengine.sparsity(fn, randn(70))
    assert pattern == as_pattern(torch.eye(70, dtype=torch.bool))
    assert "VJPs near the arguments" in pattern.origin
    J = jacengine.auto(fn, randn(70), layout="values")
    torch.testing.assert_close(J, torch.full((70,), 2.0, dtype=torch.float64))


def test_too_large_a_dense_matrix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "MOST_ENTRIES", 100)
    net = mlp(20, 20)

    def branching(x: Tensor) -> Tensor:
        y: Tensor = net(x)
        return y if float(x[0].detach()) > 99 else y.sin()

    with pytest.raises(jacengine.UnsupportedError, match="too large for a pattern"):
        jacengine.sparsity(branching, randn(20))


def test_a_dense_matrix_has_all_entries() -> None:
    pattern = jacengine.sparsity(mlp(6, 4), randn(6))
    assert pattern == Pattern.dense((4, 6), origin="")
    assert pattern.colors == 4
