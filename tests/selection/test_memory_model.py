"""What a method takes is predicted without running it, on fake tensors."""

import pytest
import torch
from torch import Tensor, nn

from jacengine.api.builtin_registry import known_strategies
from jacengine.execution.method import Method
from jacengine.problem.analyze import analyze
from jacengine.problem.problem import Options
from jacengine.seeding.samples import choices
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.memory_model import fake_peak, fit_memory_model
from jacengine.selection.reference import Reference
from tests.problems import OF_INPUTS, randn


@pytest.mark.parametrize("wrt", [0, "params"])
@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_the_least_that_is_needed(strategy: str, wrt: int | str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 16)).double()
    x = randn(64, 32)
    problem = analyze(model, (x,), {}, Options(wrt=wrt, batch_dim=0))
    call = problem.bind((x,), {})
    chosen = known_strategies().get(strategy)
    method = Method(chosen, choices(problem, chosen)[0])
    real = fit_memory_model(problem, call, method).peak(problem, method, 1)
    fake = fake_peak(problem, call, method)
    assert fake is not None
    assert 0.75 * real <= fake <= 1.05 * real


def test_what_needs_too_much_is_not_run() -> None:
    sizes: list[int] = []

    def wide(x: Tensor) -> Tensor:
        sizes.append(x.shape[0])
        return torch.tanh(x @ torch.ones(4, 1000, dtype=x.dtype)).sum(1)

    x = randn(50, 4)
    problem = analyze(wide, (x,), {}, Options(batch_dim=0))
    call = problem.bind((x,), {})
    reference = Reference.of(problem, call)
    strategy = known_strategies().get("reverse_loop")
    sizes.clear()
    record = check_eligibility(problem, call, strategy, reference, 5_000, timed=False)
    assert record.outcome == "over_budget"
    assert (record.predicted_bytes or 0) > 5_000
    assert sizes == [50]  # on fake tensors
    # Where some samples at a time fit, it is run on so many.
    sizes.clear()
    record = check_eligibility(problem, call, strategy, reference, 200_000, timed=False)
    assert record.outcome == "ok"
    assert (record.predicted_bytes or 0) <= 200_000
    assert sizes[0] == 50
    assert max(sizes[1:]) < 50


def test_a_function_that_needs_values_is_not_predicted() -> None:
    x = randn(3)
    problem = analyze(lambda x: x * float(x.detach().sum()), (x,), {}, Options())
    strategy = known_strategies().get("reverse_loop")
    method = Method(strategy, choices(problem, strategy)[0])
    assert fake_peak(problem, problem.bind((x,), {}), method) is None
