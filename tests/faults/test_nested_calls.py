"""jacengine inside a function that is differentiated: right, or a typed error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from tests.problems import mlp, randn


def cube(x: Tensor) -> Tensor:
    return (x**3).sum()


PLAN = jacengine.plan(lambda x: cube(x)[None], randn(3))

INNER: dict[str, Callable[[Tensor], Any]] = {
    "auto": lambda v: jacengine.auto(lambda t: cube(t)[None], v)[0],
    "plan": lambda v: PLAN(v)[0],
    "jacobian": lambda v: jacengine.jacobian(cube, v, strategy="reverse_loop"),
    "hessian": lambda v: jacengine.hessian(cube, v).sum(),
    "laplacian": lambda v: jacengine.laplacian(cube, v, batch_dim=None),
    "hvp": lambda v: jacengine.hvp(cube, v, vector=torch.ones(3, dtype=v.dtype)),
    "operator": lambda v: jacengine.operator(torch.sin, v) @ torch.ones(3).double(),
}


@pytest.mark.parametrize("fn", INNER.values(), ids=INNER)
def test_a_lost_derivative_is_refused(fn: Callable[[Tensor], Any]) -> None:
    with pytest.raises(jacengine.UnsupportedError, match="create_graph=True"):
        jacengine.auto(fn, randn(3))


def test_a_captured_tensor_is_seen() -> None:
    def fn(v: Tensor) -> Tensor:
        result: Tensor = jacengine.auto(lambda t: t * v, torch.ones(3).double())
        return result

    with pytest.raises(jacengine.UnsupportedError, match="create_graph=True"):
        jacengine.auto(fn, randn(3))


def test_a_graph_makes_it_right() -> None:
    def gradient(v: Tensor) -> Tensor:
        result: Tensor = jacengine.auto(cube, v, create_graph=True)
        return result

    x = randn(3)
    torch.testing.assert_close(jacengine.auto(gradient, x), torch.diag(6 * x))


def test_a_constant_may_be_computed_inside() -> None:
    scale = randn(3)

    def fn(v: Tensor) -> Tensor:
        result: Tensor = v * jacengine.auto(cube, scale)
        return result

    x = randn(3)
    torch.testing.assert_close(jacengine.auto(fn, x), torch.diag(3 * scale**2))


@pytest.mark.parametrize(
    "transform", [torch.func.jacrev, torch.func.jacfwd, torch.func.vmap]
)
def test_transforms_of_torch_are_refused(transform: Callable[..., Any]) -> None:
    for fn in (INNER["auto"], INNER["plan"], INNER["hvp"], INNER["operator"]):
        x = randn(2, 3) if transform is torch.func.vmap else randn(3)
        with pytest.raises(jacengine.UnsupportedError, match=r"torch\.func"):
            transform(fn)(x)


def test_forward_mode_is_refused() -> None:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(randn(3), randn(3))
        with pytest.raises(jacengine.UnsupportedError, match="forward"):
            jacengine.auto(cube, dual)


def test_a_plain_call_in_a_training_step_is_no_nested_one() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3).requires_grad_()
    with torch.enable_grad():
        found = jacengine.auto(model, x, batch_dim=0)
    assert not found.requires_grad
