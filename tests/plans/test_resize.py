"""Plans and operators take other numbers of samples, by the same choice."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.plans import resize as resizing
from jacengine.plans.restore import restore_verified
from jacengine.problem.quantity import Quantity
from jacengine.selection import memory_bound
from tests.problems import randn


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def _inputs(net: nn.Module, x: Tensor) -> Tensor:
    rows: Tensor = torch.func.vmap(torch.func.jacrev(net))(x)
    return rows


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9, 64])
@pytest.mark.parametrize("name", jacengine.list_strategies())
def test_every_strategy(name: str, count: int) -> None:
    net, x = _net(), randn(4, 3)
    options: dict[str, Any] = {"batch_dim": 0, "strategies": [name]}
    by_parameters = name == "quasi_linear"
    if by_parameters:
        options["wrt"] = "params"
    quantity: Quantity = "laplacian" if name == "forward_laplacian" else "jacobian"
    plan = jacengine.plan(net, x, effort="none", quantity=quantity, **options)
    other = randn(count, 3)
    found = plan(other)
    if count == 0:
        for tensor in found.values() if by_parameters else (found,):
            assert tensor.shape[0] == 0
        return
    if by_parameters:
        for key, block in found.items():
            expected = torch.func.jacrev(
                lambda p: torch.func.functional_call(net, p, (other,))
            )(dict(net.named_parameters()))[key]
            torch.testing.assert_close(block, expected)
    elif quantity == "laplacian":
        hessians = torch.func.vmap(torch.func.hessian(net))(other)
        torch.testing.assert_close(found, hessians.diagonal(0, 2, 3).sum(-1))
    else:
        torch.testing.assert_close(found, _inputs(net, other))
    again = randn(count, 3)
    if not by_parameters and quantity == "jacobian":
        torch.testing.assert_close(plan(again), _inputs(net, again))
        torch.testing.assert_close(plan(x), _inputs(net, x))


def test_a_method_is_verified_once_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = _net(), randn(4, 3)
    plan = jacengine.plan(net, x, batch_dim=0, effort="none")
    seen: list[int] = []
    verified = restore_verified

    def counted(problem: Any, *rest: Any) -> Any:
        seen.append(problem.sample_count)
        return verified(problem, *rest)

    monkeypatch.setattr(resizing, "restore_verified", counted)
    for count in (3, 4, 3, 5, 3, 5):
        plan(randn(count, 3))
    assert seen == [3, 5]


def test_what_differs_besides_is_a_mismatch() -> None:
    net, x = _net(), randn(4, 3)
    plan = jacengine.plan(net, x, batch_dim=0, effort="none")
    for other in (randn(5, 2), randn(5, 3).float(), randn(5, 3, 1), randn(3)):
        with pytest.raises(jacengine.PlanMismatchError):
            plan(other)
    whole = jacengine.plan(net, x, effort="none")
    with pytest.raises(jacengine.PlanMismatchError):
        whole(randn(5, 3))


def test_arguments_disagree_about_the_number_of_samples() -> None:
    def product(x: Tensor, y: Tensor) -> Tensor:
        return x * y

    plan = jacengine.plan(product, randn(4, 3), randn(4, 3), batch_dim=0)
    with pytest.raises(jacengine.PlanMismatchError, match=r"argument args\[1\]"):
        plan(randn(5, 3), randn(4, 3))
    y = randn(6, 3)
    assert torch.equal(plan(randn(6, 3), y), torch.diag_embed(y))


def test_samples_along_another_axis() -> None:
    net = _net()
    plan = jacengine.plan(
        lambda x: net(x.T), randn(3, 4), batch_dim=(1,), effort="none"
    )
    x = randn(3, 7)
    torch.testing.assert_close(plan(x), _inputs(net, x.T))


def test_a_larger_batch_goes_through_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_bound, "NEGLIGIBLE", 2**62)  # all memory is measured
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4096), nn.Tanh(), nn.Linear(4096, 2)).double()
    x = randn(8, 3)
    free = jacengine.plan(net, x, batch_dim=0, effort="none")
    taken = free.chosen.predicted_bytes
    assert taken is not None
    tight = jacengine.plan(
        net, x, batch_dim=0, effort="none", memory_budget=int(2.5 * taken)
    )
    other = randn(50, 3)
    torch.testing.assert_close(tight(other), _inputs(net, other))
    sliced = tight._resized[50].chosen.method
    assert sliced is not None
    assert sliced.slice_size is not None
    assert sliced.slice_size < 50
    with pytest.raises(jacengine.MemoryBudgetError, match="10000000 samples"):
        tight(torch.empty(1, 3).double().expand(10_000_000, 3))


def test_nothing_of_another_function_is_kept() -> None:
    net, x = _net(), randn(4, 3)
    plan = jacengine.plan(net, x, batch_dim=0, effort="none")
    plan(randn(5, 3))
    other = _net()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(
        plan.of(type(plan.callee)(other, ()))(x), _inputs(other, x)
    )
    assert plan.of(plan.callee)._resized == {}


def test_operators() -> None:
    net, x, other = _net(), randn(4, 3), randn(6, 3)
    operator = jacengine.operator(net, x, wrt="params", batch_dim=0)
    bigger = operator.at(other)
    assert bigger.shape == (12, operator.shape[1])
    expected = jacengine.operator(net, other, wrt="params", batch_dim=0).dense()
    torch.testing.assert_close(bigger.dense(), expected)
    with pytest.raises(jacengine.PlanMismatchError):
        operator.at(randn(6, 2))
