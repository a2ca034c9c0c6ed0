"""Products with a Hessian, once and by an operator; estimates of its trace."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import cg, eigsh
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError
from tests.contract.scenario import Case
from tests.problems import mlp, randn
from tests.second_order.reference import reference


def coupled(x: Tensor) -> Tensor:
    """Map numbers to one, with a full Hessian."""
    return (x.sum(-1).sin() + 2) * (x.cos() + x**3 / 3).sum(-1)


def convex(x: Tensor) -> Tensor:
    """Map numbers to one, with a positive definite Hessian."""
    return torch.logsumexp(x * 2, 0) + x.square().sum()


X = randn(4)
H: Tensor = reference("hessian", Case(coupled, (X,)))
BATCH = randn(3, 4)
OF_BATCH: Tensor = reference(
    "hessian", Case(coupled, (BATCH,), options={"batch_dim": 0})
)


def test_a_product_with_a_vector() -> None:
    v = randn(4, seed=2)
    torch.testing.assert_close(jacengine.hvp(coupled, X, vector=v), H @ v)


@pytest.mark.parametrize("strategy", ["forward_dual_over_grad", "vmap_jvp_over_vjp"])
def test_by_a_method_by_name(strategy: str) -> None:
    v = randn(4, seed=2)
    found = jacengine.hvp(coupled, X, vector=v, strategies=[strategy])
    torch.testing.assert_close(found, H @ v)


def test_each_sample_has_its_vector() -> None:
    v = randn(3, 4, seed=2)
    found = jacengine.hvp(coupled, BATCH, vector=v, batch_dim=0)
    torch.testing.assert_close(found, torch.einsum("bij,bj->bi", OF_BATCH, v))


def test_samples_on_another_axis() -> None:
    v = randn(3, 4, seed=2)
    found = jacengine.hvp(
        lambda x: coupled(x.T), BATCH.T.contiguous(), vector=v.T, batch_dim=(1,)
    )
    torch.testing.assert_close(found, torch.einsum("bij,bj->bi", OF_BATCH, v))


def test_vectors_by_parameters_nest_by_name() -> None:
    net, x = mlp(3, 4, 1), randn(5, 3)
    target = randn(5, 1, seed=4)

    def loss_of(module: nn.Module) -> Tensor:
        loss: Tensor = (module(x) - target).square().mean()
        return loss

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return loss_of(self.net)

    parameters = dict(Loss().named_parameters())
    v = {name: torch.randn_like(p) for name, p in parameters.items()}
    found = jacengine.hvp(Loss(), x, vector=v, wrt="params")
    values = list(parameters.values())
    first = torch.autograd.grad(loss_of(net), values, create_graph=True)
    slope = sum((g * w).sum() for g, w in zip(first, v.values(), strict=True))
    assert isinstance(slope, Tensor)
    for name, wanted in zip(v, torch.autograd.grad(slope, values), strict=True):
        torch.testing.assert_close(found[name], wanted)


def test_a_product_with_a_graph() -> None:
    x = X.clone().requires_grad_()
    v = randn(4, seed=2)
    product = jacengine.hvp(coupled, x, vector=v, create_graph=True)
    (third,) = torch.autograd.grad(product.sum(), x)
    own = X.clone().requires_grad_()
    (first,) = torch.autograd.grad(coupled(own), own, create_graph=True)
    (second,) = torch.autograd.grad(first @ v, own, create_graph=True)
    (wanted,) = torch.autograd.grad(second.sum(), own)
    torch.testing.assert_close(third, wanted)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (randn(3), "has \\(3,\\) where"),
        (3.0, "has a float where"),
        ((X, X), "nests as"),
        ({"x": X}, "nests as"),
    ],
)
def test_vectors_that_do_not_fit(vector: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        jacengine.hvp(coupled, X, vector=vector)


def test_an_operator_multiplies_from_both_sides() -> None:
    op = jacengine.operator(coupled, X, quantity="hessian")
    v, many = randn(4, seed=2), randn(4, 3, seed=3)
    assert op.shape == (4, 4)
    torch.testing.assert_close(op @ v, H @ v)
    torch.testing.assert_close(op.T @ v, H @ v)
    torch.testing.assert_close(op @ many, H @ many)
    torch.testing.assert_close(op.dense(), H)


def test_an_operator_of_samples_is_a_block_diagonal() -> None:
    op = jacengine.operator(coupled, BATCH, batch_dim=0, quantity="hessian")
    wanted = torch.block_diag(*OF_BATCH)
    v = randn(12, seed=2)
    assert op.shape == wanted.shape
    torch.testing.assert_close(op @ v, wanted @ v)
    torch.testing.assert_close(op.T @ v, wanted @ v)


def test_an_operator_moves_to_other_arguments() -> None:
    op = jacengine.operator(coupled, X, quantity="hessian")
    other = X + 1
    v = randn(4, seed=2)
    wanted: Tensor = reference("hessian", Case(coupled, (other,)))
    torch.testing.assert_close(op.at(other) @ v, wanted @ v)
    torch.testing.assert_close(op @ v, H @ v)


def test_scipy_solves_and_decomposes() -> None:
    A: Tensor = reference("hessian", Case(convex, (X,)))
    op: Any = jacengine.operator(convex, X, quantity="hessian").linear_operator()
    b = randn(4, seed=2).numpy()
    solution, info = cg(op, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(A.numpy() @ solution, b, atol=1e-9)
    largest: Any = eigsh(op, k=1, return_eigenvectors=False)
    np.testing.assert_allclose(largest[0], np.linalg.eigvalsh(A.numpy())[-1])


def test_an_estimate_is_within_its_error() -> None:
    exact = OF_BATCH.diagonal(dim1=-2, dim2=-1).sum(-1)
    found = jacengine.laplacian(coupled, BATCH, method="hutchinson", probes=400)
    assert found.probes == 400
    assert bool(((found.value - exact).abs() < 5 * found.error).all())
    assert bool((found.error > 0).all())


def test_an_estimate_of_a_diagonal_hessian_is_exact() -> None:
    found = jacengine.laplacian(
        lambda x: (x**4).sum(-1), BATCH, method="hutchinson", probes=2
    )
    torch.testing.assert_close(found.value, 12 * BATCH.square().sum(-1))
    assert bool((found.error < 1e-9).all())


def test_estimates_repeat_with_their_seed() -> None:
    state = torch.get_rng_state()
    same = [
        jacengine.laplacian(coupled, BATCH, method="hutchinson", probes=3, seed=s).value
        for s in (0, 0, 1)
    ]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])
    assert torch.equal(state, torch.get_rng_state())
