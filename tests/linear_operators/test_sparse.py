"""Operators of sparse Jacobians multiply by the sparse matrix."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from tests.problems import randn


def heat(u: Tensor) -> Tensor:
    return (1 + u[..., 1:-1] ** 2) * (u[..., 2:] - 2 * u[..., 1:-1] + u[..., :-2])


def energy(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


CALLS: dict[str, tuple[Any, Tensor, dict[str, Any]]] = {
    "one point": (heat, randn(100), {}),
    "samples": (heat, randn(3, 100), {"batch_dim": 0}),
    "samples last": (lambda x: heat(x.T), randn(100, 3), {"batch_dim": (1,)}),
    "image": (lambda x: x.sin() * x.roll(1, 0), randn(9, 8), {}),
    "float32": (heat, randn(100).float(), {}),
    "Hessian": (energy, randn(100), {"quantity": "hessian"}),
}


def dense(name: str, x: Tensor) -> Tensor:
    fn, _, options = CALLS[name]
    compute: Any = jacengine.hessian if "quantity" in options else jacengine.auto
    others = {k: v for k, v in options.items() if k == "batch_dim"}
    found: Tensor = compute(fn, x, sparsity=None, **others)
    if others:
        blocks: Tensor = torch.block_diag(*found)
        return blocks
    return found.reshape(found.numel() // x.numel(), x.numel())


@pytest.mark.parametrize("name", CALLS)
def test_products(name: str) -> None:
    fn, x, options = CALLS[name]
    op = jacengine.operator(fn, x, timed=False, **options)
    assert "sparse matrix of" in op.method
    for there in (x, x.flip(0)):
        op, J = op.at(there), dense(name, there)
        v, u = randn(J.shape[1], 2).to(J), randn(J.shape[0], 2, seed=3).to(J)
        torch.testing.assert_close(op @ v, J @ v)
        torch.testing.assert_close(op @ v[:, 0], J @ v[:, 0])
        torch.testing.assert_close(op.T @ u, J.T @ u)
        torch.testing.assert_close(op.dense(), J)
        torch.testing.assert_close(op.gram(), J @ J.T)
        torch.testing.assert_close(op.normal(), J.T @ J)
        torch.testing.assert_close(op.normal_diagonal(), J.square().sum(0))
        torch.testing.assert_close(op.row_norms(), J.norm(dim=1))
        product = op.linear_operator() @ v[:, 0].numpy()
        torch.testing.assert_close(torch.from_numpy(product), J @ v[:, 0])


def test_another_number_of_samples() -> None:
    op = jacengine.operator(heat, randn(3, 100), batch_dim=0, timed=False)
    x = randn(5, 100, seed=7)
    J = torch.block_diag(*jacengine.auto(heat, x, batch_dim=0))
    torch.testing.assert_close(op.at(x) @ torch.ones(500).double(), J.sum(1))


@pytest.mark.parametrize(
    "options", [{"create_graph": True}, {"wrt": (0, 1)}], ids=["graph", "two inputs"]
)
def test_what_is_multiplied_by_products(options: dict[str, Any]) -> None:
    def fn(x: Tensor, y: Tensor) -> Tensor:
        return heat(x) * y

    x, y = randn(100).requires_grad_("create_graph" in options), randn(98)
    op = jacengine.operator(fn, x, y, timed=False, **options)
    assert "sparse" not in op.method
    J = jacengine.auto(fn, x.detach(), y)
    assert (op @ torch.ones(op.shape[1]).double()).shape == J.shape[:1]


def test_nothing_of_the_function_is_kept() -> None:
    gone: list[weakref.ref[Any]] = []
    for _ in range(2):
        layer = torch.nn.Conv1d(1, 1, 3).double()
        gone.append(weakref.ref(layer))
        op = jacengine.operator(layer, randn(1, 100), timed=False)
        assert "sparse" in op.method
        del layer, op
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_pattern_that_changes_is_given_up() -> None:
    def branching(x: Tensor) -> Tensor:
        return x * x.roll(1) if float(x.detach().sum()) > 0 else x.sin()

    x = randn(90).abs()
    op = jacengine.operator(branching, -x, timed=False)
    assert "sparse" in op.method
    with pytest.raises(jacengine.PatternError):
        op.at(x)
    J = jacengine.auto(branching, x, sparsity=None)
    again = jacengine.operator(branching, x, timed=False)
    assert "sparse" not in again.method
    torch.testing.assert_close(again @ torch.ones(90).double(), J.sum(1))
