"""Compiled plans: right, and right after anything that the function reads has changed.

Eager autograd at the same moment tells what is right.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.execution.method import Execution
from jacengine.selection import race
from tests.compiling import COMPILING, compiled_plan, programs, right
from tests.problems import mlp, randn

pytestmark = COMPILING


class Net(nn.Module):
    """Reads all kinds of state."""

    power = 2

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.last = nn.Linear(4, 2)
        self.rate = 0.5
        self.options = {"shift": 1.0}
        self.register_buffer("scale", torch.tensor([1.0, 2.0]))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x)) ** self.power
        out: Tensor = self.last(hidden) * self.scale * self.rate
        return out * self.options["shift"] + (OFFSET * x).sum(-1, keepdim=True)


OFFSET = torch.tensor(1.5, dtype=torch.float64)


def _set_weight(net: Net) -> None:
    with torch.no_grad():
        net.first.weight.mul_(1.5)


def _set_scale(net: Net) -> None:
    net.register_buffer(
        "scale", torch.tensor([3.0, 6.0]).double()
    )  # another tensor in the place of the buffer


CHANGES: dict[str, Callable[[Net], object]] = {
    "weights in place": _set_weight,
    "weights past autograd": lambda net: net.first.weight.data.add_(0.1),
    "another parameter": lambda net: setattr(
        net.first, "weight", nn.Parameter(randn(4, 3))
    ),
    "another layer": lambda net: setattr(net, "last", nn.Linear(4, 2).double()),
    "another buffer": _set_scale,
    "a number": lambda net: setattr(net, "rate", 0.25),
    "a dictionary": lambda net: net.options.update(shift=3.0),
    "an exponent": lambda net: setattr(net, "power", 3),
    "a global": lambda _: globals().update(OFFSET=OFFSET * 2),
    "a loaded state": lambda net: net.load_state_dict(Net().state_dict()),
}


@pytest.mark.slow
def test_everything_that_is_read_may_change() -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    torch.testing.assert_close(plan(x), right(net, x))
    for name, change in CHANGES.items():
        change(net)
        for other in (x, randn(5, 3)):
            assert torch.allclose(plan(other), right(net, other)), name
    assert 1 < programs(plan) < len(CHANGES)


@pytest.mark.slow
def test_objects_that_die_and_a_reset_of_dynamo() -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    for _ in range(3):
        # Guards refer to the old layer weakly; a new one may get its address.
        net.last = nn.Linear(4, 2).double()
        gc.collect()
        torch.testing.assert_close(plan(x), right(net, x))
    torch._dynamo.reset()
    torch.testing.assert_close(plan(x + 1), right(net, x + 1))
    with torch.inference_mode():
        found = plan(x)
    assert not found.is_inference()
    torch.testing.assert_close(found, right(net, x))


def test_known_programs_run_without_dynamo(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    plan(x)
    assert plan._sweep is not None
    compiled = plan._sweep._compiled
    assert compiled is not None

    def capturing(*_: Any) -> None:
        raise AssertionError("Dynamo was asked")

    monkeypatch.setattr(compiled._captures, "capture", capturing)
    torch.testing.assert_close(plan(x + 1), right(net, x + 1))
    net.rate = 2.0
    with pytest.raises(AssertionError, match="Dynamo was asked"):
        plan(x)


def test_by_parameters() -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0, wrt="params")
    eager = jacengine.plan(net, x, batch_dim=0, wrt="params", effort="none")
    for step in range(3):
        found, wanted = plan(x + step), eager(x + step)
        for name, block in wanted.items():
            torch.testing.assert_close(found[name], block)
        _set_weight(net)
    assert programs(plan) == 1


@pytest.mark.parametrize("quantity", ["hessian", "hessian_diagonal", "laplacian"])
def test_second_derivatives(quantity: Any) -> None:
    def fn(x: Tensor) -> Tensor:
        return (x.sin() * x.roll(1, -1)).sum(-1)

    x = randn(5, 3)
    plan = compiled_plan(fn, x, batch_dim=0, quantity=quantity)
    H = torch.func.vmap(torch.func.hessian(fn))(x + 1)
    diagonal = H.diagonal(dim1=-2, dim2=-1)
    wanted = {
        "hessian": H,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(-1),
    }
    torch.testing.assert_close(plan(x + 1), wanted[quantity])
    assert "compiled" in plan.explain()


@pytest.mark.slow
def test_recurrent_layers() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRU(2, 3, batch_first=True).double()

        def forward(self, x: Tensor) -> Tensor:
            states: Tensor = self.cell(x)[0]
            return states[:, -1]

    net, x = Last(), randn(4, 3, 2)
    plan = compiled_plan(net, x, batch_dim=0, strategies=["vmap_vjp"])
    torch.testing.assert_close(plan(x), right(net, x))
    with torch.no_grad():
        net.cell.get_parameter("weight_hh_l0").mul_(2)
    torch.testing.assert_close(plan(x + 1), right(net, x + 1))


def test_what_takes_too_long_keeps_others_from_being_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(race, "COMPILE_PATIENCE_S", -1.0)
    plan = jacengine.plan(Net(), randn(5, 3), batch_dim=0, compiled=True)
    assert not plan.chosen.compiled
    out = [record for record in plan.selection.candidates if record.compiled]
    assert out
    assert {record.outcome for record in out} == {"skipped"}
    assert "not tried" in out[0].reason


def test_a_closure_that_changes() -> None:
    scale = torch.tensor(2.0, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return (x * scale).sin()

    x = randn(2)
    plan = compiled_plan(fn, x)
    for _ in range(3):
        torch.testing.assert_close(plan(x), torch.func.jacrev(fn)(x))
        scale = scale * 2
    assert programs(plan) == 1


def test_what_is_compiled_anew_at_each_call_is_not_chosen() -> None:
    shift = np.array([1.0, 2.0])
    x = randn(2)

    def fn(x: Tensor) -> Tensor:
        return x.sin() * torch.from_numpy(shift)

    plan = jacengine.plan(fn, x, compiled=True, effort="none")
    assert not plan.chosen.compiled
    for _ in range(3):
        torch.testing.assert_close(
            plan(x), torch.diag(x.cos() * torch.from_numpy(shift))
        )
        shift = shift + 1


def test_results_share_no_memory() -> None:
    weight = randn(3, 3)

    def fn(x: Tensor) -> Tensor:
        return torch.stack([weight @ x, weight @ x])

    x = randn(3)
    plan = compiled_plan(fn, x)
    first, second = plan(x), plan(x)
    before = weight.clone()
    first.zero_()
    assert torch.equal(weight, before)
    torch.testing.assert_close(second, torch.stack([weight, weight]))
    torch.testing.assert_close(plan(x), torch.stack([weight, weight]))


def test_values_that_decide_are_declined() -> None:
    def branching(x: Tensor) -> Tensor:
        return x.sin() if float(x.detach().sum()) > 0 else x**2

    plan = jacengine.plan(branching, torch.ones(3), compiled=True, effort="none")
    declined = [r for r in plan.selection.candidates if "compiled" in r.notes]
    assert declined
    assert all(record.outcome == "unsupported" for record in declined)
    assert plan.chosen.method is not None
    assert plan.chosen.method.execution is Execution.EAGER
    torch.testing.assert_close(plan(-torch.ones(3)), torch.diag(torch.full((3,), -2.0)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"randomness": "same"}, "random numbers"),
        ({"create_graph": True}, "without a graph"),
    ],
)
def test_what_compiled_code_leaves_out(options: Any, reason: str) -> None:
    fn = nn.Dropout(0.5) if "randomness" in options else torch.sin
    plan = jacengine.plan(fn, torch.ones(3), compiled=True, effort="none", **options)
    declined = [r for r in plan.selection.candidates if "compiled" in r.notes]
    assert declined
    assert all(reason in record.reason for record in declined)
    plan(torch.ones(3))


def test_too_many_changes_go_on_eagerly() -> None:
    state = {"factor": 1.0}

    def fn(x: Tensor) -> Tensor:
        return x.sin() * state["factor"]

    x = randn(3)
    plan = jacengine.plan(fn, x, compiled=True, effort="none")
    plan._use(
        tuple(sorted(plan.selection.ranked, key=lambda r: "compiled" not in r.notes))
    )

    def run_often() -> None:
        for factor in range(1, 12):
            state["factor"] = float(factor)
            torch.testing.assert_close(plan(x), torch.diag(x.cos() * factor))

    with pytest.warns(UserWarning, match="goes on with"):
        run_often()


def test_a_saved_plan_is_compiled_again(tmp_path: Path) -> None:
    x, file = randn(4, 3), tmp_path / "plan.json"
    net = Net()
    plan = compiled_plan(net, x, batch_dim=0)
    records = plan.selection.candidates
    plan.selection.__dict__["records"] = tuple(
        sorted(records, key=lambda r: "compiled" not in r.notes)
    )
    plan.save(file)
    loaded = jacengine.load_plan(file, net, x, batch_dim=0)
    assert loaded.chosen.method is not None
    assert loaded.chosen.method.execution is Execution.COMPILED
    torch.testing.assert_close(loaded(x), right(net, x))
    assert programs(loaded) == 1


def test_a_hook_that_is_added_later() -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    plan(x)

    def tripled(_: Any, __: Any, output: Any) -> Any:
        return 3 * output

    handle = net.first.register_forward_hook(tripled)
    torch.testing.assert_close(plan(x), right(net, x))
    handle.remove()
    torch.testing.assert_close(plan(x), right(net, x))


def test_a_lost_derivative_is_refused() -> None:
    net, x = Net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)

    def outer(weight: Tensor) -> Tensor:
        slopes: Tensor = plan(x)
        return weight.sum() * slopes.sum()

    with pytest.raises(jacengine.UnsupportedError, match="create_graph=True"):
        jacengine.jacobian(outer, randn(3))


def test_another_number_of_samples() -> None:
    net, x = Net(), randn(4, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    for count in (3, 4, 3):
        other = randn(count, 3)
        torch.testing.assert_close(plan(other), right(net, other))
    assert programs(plan) == 1


def test_what_the_code_does_not_read_is_compared_too() -> None:
    def function(x: Tensor, _: Tensor) -> Tensor:
        return x**2

    plan = compiled_plan(function, randn(3), randn(4), wrt=(0, 1))
    assert plan(randn(3), randn(4))[1].shape == (3, 4)
    with pytest.raises(jacengine.PlanMismatchError, match=r"got .*7"):
        plan(randn(3), randn(7))


def test_parameters_that_are_tied_later() -> None:
    net, x = mlp(3, 3, 3), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0, wrt="params")
    plan(x)
    net[2].weight = net[0].weight
    with pytest.raises(jacengine.PlanMismatchError, match="tied ones alike"):
        plan(x)


def test_tangents_that_are_added_to_zeros() -> None:
    """Torch's own compiler crashes on zeros without memory, and adds to expanded ones.

    Forward mode makes both.
    """
    to = torch.tensor([2, 0, 2, 1])

    def fn(x: Tensor) -> Tensor:
        return torch.zeros_like(x[:3]).index_add(0, to, x.sin()).tanh()

    x = randn(4, 2)
    plan = compiled_plan(fn, x, strategies=["vmap_jvp"])
    torch.testing.assert_close(plan(x), torch.func.jacfwd(fn)(x))
