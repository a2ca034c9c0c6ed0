"""Every result projects to `u^T J`, entry by entry the same as a matrix product."""

from typing import Any

import pytest
import torch

from jacengine.api.strategies import known_strategies
from jacengine.errors import UnsupportedError
from jacengine.execution.method import Method
from jacengine.execution.sweep import compute
from jacengine.results.dense import DenseResult
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.candidates import candidates
from jacengine.selection.reference import Reference
from jacengine.selection.runnable import first_runnable
from jacengine.task import Task
from tests.problems import mlp, prepared, randn


@pytest.mark.parametrize("wrt", [0, "params"])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "quantity", ["jacobian", "hessian", "hessian_diagonal", "laplacian"]
)
def test_projection(quantity: Any, create_graph: bool, wrt: Any) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    problem, bound = prepared(
        model,
        x,
        batch_dim=0,
        wrt=wrt,
        quantity=quantity,
        create_graph=create_graph,
        layout="flat",
    )
    name = "reverse_loop" if quantity == "jacobian" else "reverse_loop_over_grad"
    methods = tuple(candidates(problem, [known_strategies().get(name)]))
    method = first_runnable(problem, bound, methods, Reference.of(problem, bound))
    assert isinstance(method, Method), method
    result = compute(problem, bound, method)
    (row,), (group,) = result.blocks, result.layout.columns
    matrix = row[0].detach().reshape(5, -1, group.size)
    u = torch.rand(5, matrix.shape[1], dtype=torch.float64) + 0.5
    (projection,) = result.project([u])
    wanted = torch.einsum("br,brn->bn", u, matrix)
    scale = torch.einsum("br,brn->bn", u**2, matrix**2).sqrt()
    torch.testing.assert_close(projection.value, wanted)
    torch.testing.assert_close(projection.scale, scale)
    assert row[0].requires_grad == create_graph


def test_what_a_result_cannot_be_given() -> None:
    problem, _ = prepared(mlp(3, 2), randn(3))
    layout, task = ResultLayout(problem), Task(slice(0, 1), slice(0, 1))
    with pytest.raises(UnsupportedError, match="DenseResult cannot be given sums"):
        DenseResult(layout).add_sums((), task)
    with pytest.raises(UnsupportedError, match="Result cannot be given rows"):
        Result(layout).add_rows((), task)
