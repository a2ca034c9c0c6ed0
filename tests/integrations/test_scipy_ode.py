"""`ode` in `solve_ivp`, against Jacobians written by hand and tight tolerances."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, sparse
from torch import Tensor

from jacengine import ArgumentError, InputTypeError, OutputTypeError
from jacengine.integrations import scipy as jscipy

ode: Any = functools.partial(jscipy.ode, effort="none", compiled=False)
solve_ivp: Any = integrate.solve_ivp
"""Without SciPy's stubs, which take their own callbacks alone."""


def robertson(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return torch.stack([b - a, a - b - c, c])


def robertson_numpy(t: float, y: Any) -> Any:
    a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.array([b - a, a - b - c, c])


def robertson_jacobian(t: float, y: Any) -> Any:
    return np.array(
        [
            [-0.04, 1e4 * y[2], 1e4 * y[1]],
            [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]],
            [0, 6e7 * y[1], 0],
        ]
    )


@pytest.mark.parametrize("method", ["BDF", "Radau", "LSODA"])
def test_robertson(method: Any) -> None:
    y0, span = np.array([1.0, 0, 0]), (0, 1e4)
    fun, jac = ode(robertson, y0)
    tolerances = {"rtol": 1e-7, "atol": 1e-11}
    found = solve_ivp(fun, span, y0, method, jac=jac, **tolerances)
    reference = solve_ivp(
        robertson_numpy,
        span,
        y0,
        "Radau",
        jac=robertson_jacobian,
        rtol=1e-11,
        atol=1e-15,
    )
    assert found.success
    assert found.njev > 0
    np.testing.assert_allclose(found.y[:, -1], reference.y[:, -1], rtol=1e-4)
    for y in (y0, found.y[:, 5], found.y[:, -1]):
        np.testing.assert_allclose(jac(1.0, y), robertson_jacobian(1.0, y), rtol=1e-12)


def brusselator(t: Tensor, y: Tensor) -> Tensor:
    """Return reaction and diffusion on a line, u and v of a cell side by side."""
    u, v = y.view(-1, 2).T
    n = len(u)
    edge = torch.ones(1, dtype=y.dtype)
    rate = 0.02 * (n + 1) ** 2

    def diffusion(w: Tensor, at_edge: Tensor) -> Tensor:
        padded = torch.cat([at_edge, w, at_edge])
        return rate * (padded[2:] - 2 * w + padded[:-2])

    du = 1 + u**2 * v - 4 * u + diffusion(u, edge)
    dv = 3 * u - u**2 * v + diffusion(v, 3 * edge)
    return torch.stack([du, dv], dim=1).flatten()


def brusselator_jacobian(t: float, y: Any) -> Any:
    u, v = y.reshape(-1, 2).T
    n = len(u)
    rate = 0.02 * (n + 1) ** 2
    main = np.stack([2 * u * v - 4 - 2 * rate, -(u**2) - 2 * rate], 1).ravel()
    above = np.stack([u**2, 0 * u], 1).ravel()[:-1]
    below = np.stack([3 - 2 * u * v, 0 * u], 1).ravel()[:-1]
    far = np.full(2 * n - 2, rate)
    diagonals = {-2: far, -1: below, 0: main, 1: above, 2: far}
    return sum(np.diag(values, k) for k, values in diagonals.items())


N = 40
POSITION = np.arange(1, N + 1) / (N + 1)
Y0 = np.stack([1 + np.sin(2 * np.pi * POSITION), np.full(N, 3.0)], axis=1).ravel()


@pytest.mark.parametrize("method", ["BDF", "Radau"])
def test_reaction_and_diffusion_with_a_sparse_jacobian(method: Any) -> None:
    fun, jac = ode(brusselator, Y0, sparse="csr")
    J = jac(0.0, Y0)
    assert isinstance(J, sparse.csr_array)
    assert J.nnz == 2 * (3 * N - 2) + 2 * N  # diffusion, and the other of the cell
    np.testing.assert_allclose(J.toarray(), brusselator_jacobian(0.0, Y0), rtol=1e-12)
    options: Any = {"method": method, "rtol": 1e-6, "atol": 1e-8}
    found = solve_ivp(fun, (0, 5), Y0, jac=jac, **options)
    expected = solve_ivp(fun, (0, 5), Y0, jac=brusselator_jacobian, **options)
    tight = solve_ivp(fun, (0, 5), Y0, "LSODA", rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.y[:, -1], expected.y[:, -1], rtol=1e-8)
    np.testing.assert_allclose(found.y[:, -1], tight.y[:, -1], rtol=1e-4)
    assert (found.nfev, found.njev) == (expected.nfev, expected.njev)


def test_a_stencil_in_two_dimensions() -> None:
    size, rate = 10, 0.5

    def f(t: Tensor, y: Tensor) -> Tensor:
        u, v = y.view(2, size, size)

        def diffusion(w: Tensor) -> Tensor:
            rolled = (w.roll(s, d) for s in (-1, 1) for d in (0, 1))
            return rate * (sum(rolled) - 4 * w)

        return torch.stack(
            [1 + u**2 * v - 4 * u + diffusion(u), 3 * u - u**2 * v + diffusion(v)]
        ).flatten()

    y = np.random.default_rng(0).random(2 * size**2)
    _, jac = ode(f, y, sparse="csr")
    J = jac(0.0, y)
    assert J.nnz == 2 * size**2 * 6
    u, v = y.reshape(2, -1)
    ring = sparse.diags_array(
        [1.0, 1.0, 1.0, 1.0], offsets=[-1, 1, size - 1, 1 - size], shape=(size, size)
    )
    eye = sparse.eye_array(size)
    laplacian = (
        sparse.kron(ring, eye) + sparse.kron(eye, ring) - 4 * sparse.eye_array(size**2)
    )
    expected = sparse.block_array(
        [
            [
                rate * laplacian + sparse.diags_array(2 * u * v - 4),
                sparse.diags_array(u**2),
            ],
            [
                sparse.diags_array(3 - 2 * u * v),
                rate * laplacian - sparse.diags_array(u**2),
            ],
        ]
    )
    np.testing.assert_allclose(J.toarray(), expected.toarray(), rtol=1e-12)


def test_lsoda_takes_the_diagonals() -> None:
    fun, jac = ode(brusselator, Y0, bands=(2, 2))
    packed = jac(0.0, Y0)
    dense = brusselator_jacobian(0.0, Y0)
    assert packed.shape == (5, 2 * N)
    for i, j in np.ndindex(dense.shape):
        if -2 <= i - j <= 2:
            assert packed[2 + i - j, j] == pytest.approx(dense[i, j], rel=1e-12)
    options: Any = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-10}
    found = solve_ivp(fun, (0, 5), Y0, jac=jac, lband=2, uband=2, **options)
    expected = solve_ivp(fun, (0, 5), Y0, **options)
    assert found.njev > 0
    np.testing.assert_allclose(found.y[:, -1], expected.y[:, -1], rtol=1e-6)


def test_bands_that_are_too_narrow_are_refused() -> None:
    _, jac = ode(brusselator, Y0, bands=(1, 2))
    with pytest.raises(ArgumentError, match=r"2 diagonals below .* and 2 above"):
        jac(0.0, Y0)


@pytest.mark.parametrize("method", ["BDF", "Radau"])
def test_time_and_further_arguments_pass(method: Any) -> None:
    def f(t: Tensor, y: Tensor, rate: float, target: Tensor) -> Tensor:
        assert t.dtype == torch.float64
        assert t.shape == ()
        return -rate * (y - torch.cos(t) * target) - torch.sin(t) * target

    target = np.array([1.0, -2.0])
    fun, jac = ode(f, target)
    args = (1000.0, target)
    np.testing.assert_allclose(jac(0.5, target, *args), -1000 * np.eye(2))
    found = solve_ivp(
        fun, (0, 3), target, method, jac=jac, args=args, rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(found.y[:, -1], np.cos(3) * target, rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("sparse_", [None, "csr"])
def test_a_plan_holds_at_other_times(compiled: bool, sparse_: Any) -> None:
    fun, jac = jscipy.ode(
        lambda t, y: t * y**2, np.ones(3), sparse=sparse_, compiled=compiled
    )
    kept = [(jac(t, np.full(3, y)), t * y) for t, y in ((1.0, 2.0), (3.0, 5.0))]
    for J, slope in kept:
        np.testing.assert_allclose(J @ np.eye(3), 2 * slope * np.eye(3), rtol=1e-12)
    np.testing.assert_allclose(fun(2, [1, 2, 3]), [2, 8, 18])


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda t, y: y[:1], r"\(1,\); expected \(2,\)"),
        (lambda t, y: y.sum(), r"\(\); expected \(2,\)"),
        (lambda t, y: y.float(), "float32"),
        (lambda t, y: y.tolist(), "list"),
    ],
)
def test_other_right_hand_sides_are_refused(fn: Any, said: str) -> None:
    for callback in ode(fn, [1, 2]):
        with pytest.raises(OutputTypeError, match=said):
            callback(0.0, [1.0, 2.0])


def test_other_states_are_refused() -> None:
    for callback in ode(robertson, [1, 0, 0]):
        with pytest.raises(ArgumentError, match="vectorized"):
            callback(0.0, np.ones((3, 2)))
        with pytest.raises(ArgumentError, match="y has 2 entries; expected 3"):
            callback(0.0, [1, 2])
        with pytest.raises(InputTypeError, match="complex"):
            callback(0.0, [1j, 2, 3])
    for options in ({"bands": (-1, 0)}, {"bands": (1, 1), "sparse": "csr"}):
        with pytest.raises(ArgumentError, match="lband, uband"):
            ode(robertson, [1, 0, 0], **options)
