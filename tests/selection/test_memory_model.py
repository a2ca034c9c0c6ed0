"""What a method takes is predicted without running it, on fake tensors."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jacengine.api.strategies import known_strategies
from jacengine.peak_memory import peak_memory
from jacengine.selection.candidates import candidates
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.memory_model import (
    fit_memory_model,
    peak_on_fake_tensors,
)
from jacengine.selection.reference import Reference
from tests.problems import OF_INPUTS, prepared, randn


@pytest.mark.parametrize("wrt", [0, "params"])
@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_the_least_that_is_needed(strategy: str, wrt: int | str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 16)).double()
    x = randn(64, 32)
    problem, call = prepared(model, x, wrt=wrt, batch_dim=0)
    method = next(candidates(problem, [known_strategies().get(strategy)]))
    real = fit_memory_model(problem, call, method).peak(problem, method, 1)
    fake = peak_on_fake_tensors(problem, call, method)
    assert fake is not None
    assert 0.75 * real <= fake <= 1.05 * real


def test_what_needs_too_much_is_not_run() -> None:
    sizes: list[int] = []

    def wide(x: Tensor) -> Tensor:
        sizes.append(x.shape[0])
        return torch.tanh(x @ torch.ones(4, 1000, dtype=x.dtype)).sum(1)

    x = randn(50, 4)
    problem, call = prepared(wide, x, batch_dim=0)
    reference = Reference.of(problem, call)
    methods = tuple(candidates(problem, [known_strategies().get("reverse_loop")]))
    sizes.clear()
    record = check_eligibility(problem, call, methods, reference, 5_000, timed=False)
    assert record.outcome == "over_budget"
    assert (record.predicted_bytes or 0) > 5_000
    assert sizes == [50]  # on fake tensors
    # Where some samples at a time fit, it is run on so many.
    sizes.clear()
    record = check_eligibility(problem, call, methods, reference, 200_000, timed=False)
    assert record.outcome == "ok"
    assert (record.predicted_bytes or 0) <= 200_000
    assert sizes[0] == 50
    assert max(sizes[1:]) < 50


def test_a_function_that_needs_values_is_not_predicted() -> None:
    x = randn(3)
    problem, call = prepared(lambda x: x * float(x.detach().sum()), x)
    method = next(candidates(problem, [known_strategies().get("reverse_loop")]))
    assert peak_on_fake_tensors(problem, call, method) is None


@pytest.mark.parametrize("quantity", ["hessian_diagonal", "laplacian"])
def test_what_second_derivatives_need(quantity: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    x = randn(32, 8)
    problem, call = prepared(model, x, batch_dim=0, quantity=quantity)
    for name in known_strategies().names(quantity):
        if name == "forward_laplacian":
            continue  # it reads values
        composition = known_strategies().get(name, quantity)
        method = next(candidates(problem, [composition]))
        real = fit_memory_model(problem, call, method).peak(problem, method, 1)
        with peak_memory(torch.device("cpu")) as allocated:
            fake = peak_on_fake_tensors(problem, call, method)
        assert fake is not None, name
        assert 0.7 * real <= fake <= 1.3 * real, name
        assert allocated.bytes <= 0.5 * real, name
