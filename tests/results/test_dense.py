"""What comes back: right in every mode, and nobody else's memory."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.contract.tree import float_leaves
from tests.problems import OF_INPUTS, OF_PARAMETERS, mlp, randn

MATRIX = randn(3, 3, seed=5)


class Constant(nn.Module):
    """A module whose output is a parameter of its own, for every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand(x.shape[0], 4)


CALLS: dict[str, Case] = {
    "identity": Case(lambda x: x, (randn(3),)),
    "view": Case(lambda x: x.T, (randn(2, 3),)),
    "first of two": Case(lambda x, y: (x, y[0]), (randn(3), randn(3))),
    "linear map": Case(lambda x: x @ MATRIX.T, (randn(3),)),
    "linear map of samples": Case(
        lambda x: x @ MATRIX.T, (randn(5, 3),), options={"batch_dim": 0}
    ),
    "one sample": Case(lambda x: x * 1, (randn(1, 3),), options={"batch_dim": 0}),
    "one entry": Case(lambda x: x, (randn(1),)),
    "no axes": Case(lambda x: x, (randn(),)),
    "constant": Case(lambda _: MATRIX[0], (randn(3),)),
    "expanded input": Case(torch.sin, (randn(1).expand(4),)),
    "parts of one tensor": Case(lambda x: (x[:1], x[1:], x), (randn(3),)),
    "product": Case(lambda x, y: x * y, (randn(3), randn(3)), options={"wrt": (0, 1)}),
    "matrix": Case(lambda x, w: x @ w, (randn(3), MATRIX), options={"wrt": (0, 1)}),
    "mlp": Case(mlp(3, 4, 2), (randn(5, 3),), options={"batch_dim": 0}),
}
"""Calls whose products are easily the memory of something else."""

MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "enable_grad": torch.enable_grad,
}


def jacobian(case: Case, strategy: str, **options: Any) -> Any:
    return jacengine.jacobian(
        case.fn, *case.args, strategy=strategy, **case.options, **options
    )


@pytest.mark.parametrize("strategy", OF_INPUTS)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:.*no output of the function depends")
def test_own_memory(name: str, strategy: str) -> None:
    case = CALLS[name]
    wanted = reference_jacobian(case)
    user = [*float_leaves(case.args), MATRIX]
    before = [tensor.clone() for tensor in user]
    first = jacobian(case, strategy)
    assert_same(first, wanted, 1e-12)
    results = float_leaves(first)
    for number, leaf in enumerate(results):
        assert leaf.is_contiguous()
        assert leaf.grad_fn is None
        assert not leaf.requires_grad
        leaf.fill_(number)
    for number, leaf in enumerate(results):
        assert bool((leaf == number).all()), "two results share memory"
    for mine, copy in zip(user, before, strict=True):
        assert torch.equal(mine, copy), "the result shares memory with the user"
    assert_same(jacobian(case, strategy), wanted, 1e-12)


@pytest.mark.parametrize("strategy", OF_PARAMETERS)
@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("make", [Constant, lambda: nn.Linear(3, 1)])
def test_own_memory_beside_parameters(
    make: Callable[[], nn.Module], batch_dim: int | None, strategy: str
) -> None:
    module = make().double()
    options = {"wrt": "params", "batch_dim": batch_dim}
    for size in (1, 2):
        case = Case(module, (randn(size, 3),), options=options)
        wanted = reference_jacobian(case)
        values = {k: v.clone() for k, v in module.state_dict().items()}
        first = jacobian(case, strategy)
        assert_same(first, wanted, 1e-12)
        for leaf in float_leaves(first):
            assert leaf.is_contiguous()
            assert not leaf.requires_grad
            leaf.fill_(7)
        for key, value in module.state_dict().items():
            assert torch.equal(value, values[key]), key
        assert_same(jacobian(case, strategy), wanted, 1e-12)


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_plan_returns_new_memory_each_time(strategy: str) -> None:
    x, other = randn(5, 3), randn(5, 3, seed=2)
    model = mlp(3, 4, 2)
    plan = jacengine.plan(model, x, batch_dim=0, effort="none", strategies=[strategy])
    first = plan(x)
    kept = first.clone()
    plan(other).fill_(7)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("strategy", OF_PARAMETERS)
@pytest.mark.parametrize("options", [{}, {"batch_dim": 0}, {"wrt": "params"}])
@pytest.mark.parametrize("mode", MODES)
def test_right_in_every_mode(mode: str, options: dict[str, Any], strategy: str) -> None:
    if strategy == "quasi_linear" and options != {"wrt": "params"}:
        options = {"wrt": "params", "batch_dim": 0}
    case = Case(mlp(3, 4, 2), (randn(5, 3),), options=options)
    wanted = reference_jacobian(case)
    with MODES[mode]():
        result = jacobian(case, strategy)
    assert_same(result, wanted, 1e-12)
    for leaf in float_leaves(result):
        assert not leaf.is_inference()
        assert not leaf.requires_grad


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_inference_tensors_as_inputs(strategy: str) -> None:
    with torch.inference_mode():
        x, side = randn(5, 3), randn(3)
    case = Case(lambda x, y: (x * y).sin(), (x, side), options={"wrt": (0, 1)})
    plain = Case(case.fn, (randn(5, 3), randn(3)), options=case.options)
    wanted = reference_jacobian(plain)
    assert_same(jacobian(case, strategy), wanted, 1e-12)
    with torch.inference_mode():
        assert_same(jacobian(case, strategy), wanted, 1e-12)
    assert x.is_inference()


@pytest.mark.parametrize("effort", ["none", "quick"])
def test_plan_under_inference_mode(effort: Any) -> None:
    case = Case(mlp(3, 4, 2), (randn(5, 3),), options={"batch_dim": 0})
    wanted = reference_jacobian(case)
    with torch.inference_mode():
        x = randn(5, 3)
        plan = jacengine.plan(case.fn, x, batch_dim=0, effort=effort)
        assert_same(plan(x), wanted, 1e-12)


@pytest.mark.parametrize("strategy", OF_INPUTS)
@pytest.mark.parametrize("out_dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("in_dtype", [torch.float32, torch.float64])
def test_dtype_is_that_of_the_output(
    in_dtype: torch.dtype, out_dtype: torch.dtype, strategy: str
) -> None:
    x = randn(3).to(in_dtype)
    J = jacengine.jacobian(lambda x: (2 * x).to(out_dtype), x, strategy=strategy)
    assert J.dtype == out_dtype
    assert torch.equal(J, 2 * torch.eye(3, dtype=out_dtype))


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_same_tensor_twice(strategy: str) -> None:
    x = randn(3)
    both = jacengine.jacobian(lambda a, b: a * b, x, x, wrt=(0, 1), strategy=strategy)
    one = jacengine.jacobian(lambda a, b: a * b, x, x, wrt=1, strategy=strategy)
    assert_same(both, (x.diag(), x.diag()), 1e-12)
    assert_same(one, x.diag(), 1e-12)


@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_graph_only_when_asked_for(strategy: str) -> None:
    x = randn(3).requires_grad_()
    plain = jacengine.jacobian(torch.sin, x, strategy=strategy)
    assert not plain.requires_grad
    graph = jacengine.jacobian(torch.sin, x, strategy=strategy, create_graph=True)
    assert graph.requires_grad


@pytest.mark.xfail(strict=True, reason="some keep a graph that leads to no tensor")
def test_no_graph_of_what_has_none() -> None:
    x = randn(3)
    for strategy in OF_INPUTS:
        J = jacengine.jacobian(torch.sin, x, strategy=strategy, create_graph=True)
        assert not J.requires_grad, strategy
