"""Operators as those of curvlinops, against its own and against dense matrices."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import hessian, jacrev

import jacengine
from tests.problems import mlp, randn

pytest.importorskip("curvlinops", reason="make test installs curvlinops-for-pytorch")

import curvlinops  # type: ignore[import-untyped]

from jacengine.integrations.curvlinops import as_linear_operator


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def parameters_case() -> tuple[Any, list[Tensor], list[tuple[int, ...]]]:
    model, x = mlp(4, 5, 3), randn(6, 4)
    op = jacengine.operator(model, x, wrt="params", batch_dim=0)
    theirs: Any = curvlinops.JacobianLinearOperator(
        model, list(model.parameters()), [(x, torch.zeros(6, 3))]
    )
    J = theirs @ torch.eye(theirs.shape[1], dtype=torch.float64)
    shapes = [tuple(p.shape) for p in model.parameters()]
    return op, [J], [*shapes, (6, 3)]


def nested(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x.sin() * y.sum(-1, keepdim=True), (x[..., :2] * y).exp()


def test_of_parameters_it_is_the_operator_of_curvlinops() -> None:
    op, [J], shapes = parameters_case()
    A: Any = as_linear_operator(op)
    assert A.shape == tuple(J.shape)
    assert (A.dtype, A.device) == (torch.float64, torch.device("cpu"))
    V, U = randn(A.shape[1], 2), randn(A.shape[0], 2)
    torch.testing.assert_close(A @ V, J @ V)
    torch.testing.assert_close(A @ V[:, 0], J @ V[:, 0])
    torch.testing.assert_close(A.adjoint() @ U, J.T @ U)
    torch.testing.assert_close(A.adjoint().adjoint() @ V, J @ V)
    torch.testing.assert_close((A.adjoint() @ A) @ V, J.T @ J @ V)
    torch.testing.assert_close((A @ (2.0 * A.adjoint())) @ U, 2 * J @ J.T @ U)
    *parameters, output = shapes
    listed = [randn(*shape) for shape in parameters]
    flat = torch.cat([v.flatten() for v in listed])
    [found] = A @ listed
    torch.testing.assert_close(found, (J @ flat).view(output))
    back = A.adjoint() @ [found]
    assert [tuple(part.shape) for part in back] == parameters
    together = torch.cat([part.flatten() for part in back])
    torch.testing.assert_close(together, J.T @ J @ flat)
    many = [randn(*shape, 3) for shape in parameters]
    assert [tuple(part.shape) for part in A @ many] == [(*output, 3)]


@pytest.mark.parametrize("batch_dim", [None, 0])
def test_several_inputs_and_outputs_are_tensors_of_a_list(
    batch_dim: int | None,
) -> None:
    x, y = randn(3, 4), randn(3, 2)
    op = jacengine.operator(nested, x, y, wrt=(0, 1), batch_dim=batch_dim)
    A: Any = as_linear_operator(op)
    blocks = jacrev(nested, argnums=(0, 1))(x, y)  # samples are independent
    J = torch.cat(
        [
            torch.cat([block.reshape(o, -1) for block in row], dim=1)
            for row, o in zip(blocks, (12, 6), strict=True)
        ]
    )
    V = [randn(3, 4), randn(3, 2)]
    flat = torch.cat([v.flatten() for v in V])
    found = A @ V
    assert [tuple(part.shape) for part in found] == [(3, 4), (3, 2)]
    torch.testing.assert_close(torch.cat([f.flatten() for f in found]), J @ flat)
    torch.testing.assert_close(A @ torch.eye(18, dtype=torch.float64), J)
    torch.testing.assert_close(
        A.adjoint() @ torch.eye(18, dtype=torch.float64), J.T.contiguous()
    )


def quadratic(x: Tensor, y: Tensor) -> Tensor:
    return (x.sum(-1) * y.sum(-1)).sin() + x.pow(4).sum(-1) + y.exp().sum(-1)


@pytest.mark.parametrize("batch_dim", [None, 0])
def test_hessians_are_symmetric_with_samples_too(batch_dim: int | None) -> None:
    x, y = randn(3, 4), randn(3, 2)

    def total(x: Tensor, y: Tensor) -> Tensor:
        return quadratic(x, y).sum()

    fn: Callable[..., Tensor] = total if batch_dim is None else quadratic
    options: dict[str, Any] = {"wrt": (0, 1), "quantity": "hessian"}
    op = jacengine.operator(fn, x, y, batch_dim=batch_dim, **options)
    H = hessian(lambda z: total(z[:12].view(3, 4), z[12:].view(3, 2)))(
        torch.cat([x.flatten(), y.flatten()])
    )
    A: Any = as_linear_operator(op)
    eye = torch.eye(18, dtype=torch.float64)
    torch.testing.assert_close(A @ eye, H)
    torch.testing.assert_close(A.adjoint() @ eye, H)


def positive() -> tuple[Any, Tensor]:
    """Return an operator of a positive definite Hessian, and the matrix."""
    M = randn(8, 8)
    S = M @ M.T + torch.eye(8, dtype=torch.float64)

    def fn(z: Tensor) -> Tensor:
        return z @ S @ z / 2 + z.pow(4).sum() / 12

    x = randn(8)
    op = jacengine.operator(fn, x, quantity="hessian")
    return as_linear_operator(op), S + x.square().diag()


def test_conjugate_gradients_solve() -> None:
    A, H = positive()
    b = randn(8)
    inverse = curvlinops.CGInverseLinearOperator(
        A, max_iter=200, max_tridiag_iter=200, tolerance=1e-9, eps=0.0
    )
    torch.testing.assert_close(
        inverse @ b, torch.linalg.solve(H, b), rtol=1e-6, atol=1e-8
    )
    lsmr = curvlinops.LSMRInverseLinearOperator(A, atol=1e-14, btol=1e-14, maxiter=200)
    torch.testing.assert_close(lsmr @ b, torch.linalg.solve(H, b))


def test_traces_are_estimated() -> None:
    A, H = positive()
    exact = curvlinops.hutchpp_trace(A, num_matvecs=6)
    torch.testing.assert_close(exact, H.trace(), rtol=0.2, atol=0.0)
    samples = torch.stack([curvlinops.hutchinson_trace(A, 7) for _ in range(200)])
    error = samples.std() / 200**0.5
    assert abs(samples.mean() - H.trace()) < 4 * error


def test_spectra_and_scipy_agree_with_the_dense_matrix() -> None:
    from scipy.sparse.linalg import eigsh  # noqa: PLC0415 - as users do

    A, H = positive()
    values = torch.linalg.eigvalsh(H).numpy()
    largest = eigsh(A.to_scipy(), k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(largest), values[-3:])
    torch.manual_seed(0)
    grid, density = curvlinops.lanczos_approximate_spectrum(A, 7, num_repeats=5)
    mass = torch.trapezoid(density, grid)
    assert abs(float(mass) - 1) < 0.2
    mean = torch.trapezoid(grid * density, grid) / mass
    assert abs(float(mean) - values.mean()) < 0.3 * values.mean()


def test_a_rectangular_one_goes_to_scipy() -> None:
    op, [J], _ = parameters_case()
    A: Any = as_linear_operator(op).to_scipy()
    u = np.ones(A.shape[0])
    np.testing.assert_allclose(A.T @ u, J.numpy().T @ u)


def test_products_are_differentiable() -> None:
    model, x = nn.Linear(3, 2).double(), randn(4, 3).requires_grad_()
    op = jacengine.operator(model, x, wrt="params", batch_dim=0, create_graph=True)
    A: Any = as_linear_operator(op)
    product = A @ torch.ones(8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(product.sum(), x)  # the sum of x and one, twice
    torch.testing.assert_close(gradient, torch.full_like(x, 2.0))


def test_without_curvlinops_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['curvlinops'] = None; import jacengine.integrations."
        "curvlinops"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install curvlinops-for-pytorch" in done.stderr
