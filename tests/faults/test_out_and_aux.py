"""Memory that is read and written at once, and the graph of what is beside a result."""

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError
from tests.problems import OF_INPUTS, randn

X = randn(4).abs()


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_out_that_the_function_reads(strategy: str) -> None:
    A = randn(4, 4)
    before = A.clone()
    plan = jacengine.plan(lambda x: (A @ x).sin(), X, strategies=[strategy])
    with pytest.raises(ArgumentError, match="out= shares memory with a tensor that"):
        plan(X, out=A)
    assert torch.equal(A, before)


def test_out_that_overlaps_an_argument() -> None:
    memory = randn(4, 4, 4)
    x = memory[0]
    plan = jacengine.plan(lambda x: x.square().sum(1), x)
    with pytest.raises(ArgumentError, match=r"out= shares memory with args\[0\]"):
        plan(x, out=memory)
    with pytest.raises(ArgumentError, match=r"args\[0\]"):
        jacengine.jacobian(
            lambda x: x.square().sum(1), x, out=memory, strategy="vmap_vjp"
        )


def test_out_that_is_a_parameter() -> None:
    model = nn.Linear(4, 4, bias=False, dtype=torch.float64)
    out = model.weight.detach()
    with pytest.raises(ArgumentError, match="out= shares memory with a parameter"):
        jacengine.auto(model, X, out=out)


def test_out_beside_an_argument_in_one_memory() -> None:
    memory = randn(5, 4)
    x = memory[4]
    wanted = torch.diag(x.cos())
    assert torch.allclose(jacengine.auto(torch.sin, x, out=memory[:4]), wanted)


@pytest.mark.parametrize("strategy", [*OF_INPUTS, "auto"])
def test_aux_keeps_its_graph(strategy: str) -> None:
    def with_aux(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sin(), x.exp()

    x = X.clone().requires_grad_()
    J, aux = jacengine.jacobian(
        with_aux, x, has_aux=True, create_graph=True, strategy=strategy
    )
    (gradient,) = torch.autograd.grad(J.sum() + aux.sum(), x)
    assert torch.allclose(gradient, X.exp() - X.sin())


def test_aux_without_a_graph() -> None:
    x = X.clone().requires_grad_()
    _, aux = jacengine.auto(lambda x: (x.sin(), x.exp()), x, has_aux=True)
    assert not aux.requires_grad
