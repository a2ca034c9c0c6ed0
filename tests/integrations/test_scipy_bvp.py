"""`bvp` in `solve_bvp`, against closed forms."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.optimize import brentq
from torch import Tensor

from jacengine import ArgumentError, CoupledSamplesError, OutputTypeError
from jacengine.integrations import scipy as jscipy

bvp: Any = functools.partial(jscipy.bvp, effort="none", compiled=False)
solve_bvp: Any = integrate.solve_bvp
"""Without SciPy's stubs, which take their own callbacks alone."""


def bratu(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[1], -torch.exp(y[0])])


def clamped(left: Tensor, right: Tensor) -> Tensor:
    return torch.stack([left[0], right[0]])


def test_bratu() -> None:
    fun, bc, fun_jac, bc_jac = bvp(bratu, clamped)
    x = np.linspace(0, 1, 5)
    for theta_range, guess in (((1, 2), 0.0), ((10, 12), 3.0)):  # there are two
        y = np.zeros((2, 5))
        y[0] = guess
        found = solve_bvp(
            fun, bc, x, y, fun_jac=fun_jac, bc_jac=bc_jac, tol=1e-7, max_nodes=5000
        )
        assert found.success
        theta = brentq(lambda q: q - 2**0.5 * np.cosh(q / 4), *theta_range)
        at = np.linspace(0, 1, 11)
        expected = -2 * np.log(np.cosh((at - 0.5) * theta / 2) / np.cosh(theta / 4))
        np.testing.assert_allclose(found.sol(at)[0], expected, atol=1e-7)


def test_the_jacobians_of_bratu() -> None:
    _, _, fun_jac, bc_jac = bvp(bratu, clamped)
    for m in (7, 12, 7):
        y = np.random.default_rng(m).standard_normal((2, m))
        J = fun_jac(np.linspace(0, 1, m), y)
        expected = np.zeros((2, 2, m))
        expected[0, 1], expected[1, 0] = 1, -np.exp(y[0])
        np.testing.assert_allclose(J, expected, rtol=1e-12)
        J[:] = 0  # solve_bvp writes into it where there is a singular term
    left, right = bc_jac([1, 2], [3, 4])
    np.testing.assert_array_equal(left, [[1, 0], [0, 0]])
    np.testing.assert_array_equal(right, [[0, 0], [1, 0]])


def sturm_liouville(x: Tensor, y: Tensor, p: Tensor) -> Tensor:
    return torch.stack([y[1], -(p[0] ** 2) * y[0]])


def normalized(left: Tensor, right: Tensor, p: Tensor) -> Tensor:
    return torch.stack([left[0], right[0], left[1] - p[0]])


def test_an_unknown_parameter_is_found() -> None:
    fun, bc, fun_jac, bc_jac = bvp(sturm_liouville, normalized)
    x = np.linspace(0, 1, 5)
    y = np.zeros((2, 5))
    y[0, 1], y[0, 3] = 1, -1
    found = solve_bvp(
        fun, bc, x, y, p=[6], fun_jac=fun_jac, bc_jac=bc_jac, tol=1e-7, max_nodes=5000
    )
    assert found.success
    assert found.p == pytest.approx([2 * np.pi], rel=1e-7)
    np.testing.assert_allclose(found.sol(0.1)[0], np.sin(0.2 * np.pi), rtol=1e-6)


def test_the_jacobians_by_a_parameter() -> None:
    _, _, fun_jac, bc_jac = bvp(sturm_liouville, normalized)
    x, y = np.linspace(0, 1, 6), np.random.default_rng(0).standard_normal((2, 6))
    for k in (3.0, 4.0):
        by_y, by_p = fun_jac(x, y, [k])
        expected = np.zeros((2, 2, 6))
        expected[0, 1], expected[1, 0] = 1, -(k**2)
        np.testing.assert_allclose(by_y, expected, rtol=1e-12)
        assert by_p.shape == (2, 1, 6)
        np.testing.assert_allclose(by_p[:, 0], [0 * y[0], -2 * k * y[0]], rtol=1e-12)
    left, right, by_p = bc_jac([1, 2], [3, 4], [5])
    np.testing.assert_array_equal(left, [[1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(right, [[0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(by_p, [[0], [0], [-1]])


def test_a_singular_term_is_added() -> None:
    # Emden's equation: y'' + 2 y' / x + y^5 = 0, with y = (1 + x^2 / 3)^(-1/2).
    problem = bvp(
        lambda x, y: torch.stack([y[1], -(y[0] ** 5)]),
        lambda left, right: torch.stack([left[1], right[0] - 0.75**0.5]),
    )
    x = np.linspace(0, 1, 5)
    y = np.vstack([np.full(5, 0.9), np.zeros(5)])
    found = solve_bvp(
        problem.fun,
        problem.bc,
        x,
        y,
        S=np.array([[0, 0], [0, -2.0]]),
        fun_jac=problem.fun_jac,
        bc_jac=problem.bc_jac,
        tol=1e-7,
    )
    assert found.success
    at = np.linspace(0, 1, 9)
    np.testing.assert_allclose(found.sol(at)[0], (1 + at**2 / 3) ** -0.5, atol=1e-6)


def test_points_that_depend_on_each_other_are_refused() -> None:
    fun_jac = bvp(lambda x, y: y - y.mean(1, keepdim=True), clamped).fun_jac
    with pytest.raises(CoupledSamplesError):
        fun_jac(np.linspace(0, 1, 4), np.random.default_rng(0).random((2, 4)))


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda x, y: y[0], r"\(4,\); expected \(2, 4\)"),
        (lambda x, y: y.float(), "float32"),
        (lambda x, y: y.detach().numpy(), "ndarray"),
    ],
)
def test_other_right_hand_sides_are_refused(fn: Any, said: str) -> None:
    problem = bvp(fn, clamped)
    for callback in (problem.fun, problem.fun_jac):
        with pytest.raises(OutputTypeError, match=said):
            callback(np.linspace(0, 1, 4), np.ones((2, 4)))


def test_other_arguments_are_refused() -> None:
    problem = bvp(bratu, clamped)
    with pytest.raises(ArgumentError, match=r"y has shape \(2,\)"):
        problem.fun([0.0, 1.0], [1.0, 2.0])
    with pytest.raises(OutputTypeError, match=r"shape \(2, 2\)"):
        bvp(bratu, torch.outer).bc([1, 2], [3, 4])
    with pytest.raises(ArgumentError, match="sparsity= is no option"):
        bvp(bratu, clamped, sparsity=None)
