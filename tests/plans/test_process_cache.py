"""`auto` knows what it has done before: by function, and by code."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.plans import disk_cache, examine, planning
from jacengine.plans.cached_plan import CachedPlan
from jacengine.plans.process_cache import ProcessCache
from jacengine.selection import first_choice
from jacengine.selection import select as selecting
from tests.problems import mlp


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    cache = ProcessCache[CachedPlan](lambda cached: cached.plan.problem, 3)
    monkeypatch.setattr(planning, "_PLANS", cache)
    monkeypatch.setenv(disk_cache.VARIABLE, str(tmp_path))
    monkeypatch.setattr("jacengine.selection.select.load_average", lambda: 0.0)


@pytest.fixture
def selections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the selections that are made, raced or not."""
    made: list[object] = []

    def counting(select: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            made.append(args)
            return select(*args, **kwargs)

        return counted

    monkeypatch.setattr(planning, "select", counting(selecting.select))
    monkeypatch.setattr(planning, "choose_first", counting(first_choice.choose_first))
    return made


X = torch.linspace(-1, 1, 12).reshape(4, 3)
NAMES = ["reverse_loop", "batched_grad"]


def _auto(fn: Any, x: Tensor = X, **options: Any) -> Any:
    return jacengine.auto(fn, x, batch_dim=0, strategies=NAMES, **options)


def test_a_plan_takes_the_selection_of_auto(selections: list[object]) -> None:
    model = nn.Linear(3, 2)
    found = _auto(model, effort="thorough")
    plan = jacengine.plan(model, X, batch_dim=0, strategies=NAMES, effort="thorough")
    assert len(selections) == 1
    assert torch.equal(plan(X), found)


def test_the_same_function_is_selected_for_once(selections: list[object]) -> None:
    model = nn.Linear(3, 2)
    for _ in range(3):
        torch.testing.assert_close(_auto(model)[0], model.weight.detach())
        with torch.no_grad():
            model.weight.mul_(2)
    assert len(selections) == 1


def test_another_signature_is_selected_for(selections: list[object]) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    _auto(model)
    _auto(model, X[:2])
    model.eval()
    _auto(model)
    _auto(model, X.double().float())
    assert len(selections) == 3


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_closure_in_a_loop_is_known_by_its_code(
    selections: list[object], monkeypatch: pytest.MonkeyPatch, *, on_disk: bool
) -> None:
    if not on_disk:
        monkeypatch.setenv(disk_cache.VARIABLE, "")
    model = nn.Linear(3, 2)
    for factor in (1.0, 1.0, 1.0):
        offset = torch.randn(3)
        J = _auto(lambda x, o=offset, f=factor: torch.sin(model(x * f + o)))
        z = model(X * factor + offset)
        wanted = (z.cos().unsqueeze(2) * model.weight).detach()
        torch.testing.assert_close(J, wanted)
    assert len(selections) == 1


def test_a_closure_over_another_structure_is_selected_for(
    selections: list[object],
) -> None:
    for width in (2, 4):
        model = nn.Linear(3, width)
        assert _auto(lambda x, m=model: m(x)).shape == (4, width, 3)
    assert len(selections) == 2


def test_what_is_remembered_is_bounded_and_keeps_nothing_alive() -> None:
    model = nn.Linear(3, 2)
    _auto(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    kept = [nn.Linear(3, width) for width in range(2, 7)]
    for other in kept:
        _auto(other)
    assert len(planning._PLANS) == 3


def test_buffers_are_put_back_by_a_remembered_plan() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    x = X.double()
    before = {name: b.clone() for name, b in model.named_buffers()}
    for _ in range(3):
        jacengine.auto(model, x, strategies=["reverse_loop"])
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name


CALLS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "auto": lambda m, x: jacengine.auto(m, x, batch_dim=0),
    "lambda": lambda m, x: jacengine.auto(lambda v: (m(v),), x, batch_dim=0),
    "parameters": lambda m, x: jacengine.auto(m, x, batch_dim=0, wrt="params"),
    "by name": lambda m, x: jacengine.jacobian(
        m, x, batch_dim=0, wrt="params", strategy="quasi_linear"
    ),
    "operator": lambda m, x: jacengine.operator(m, x, batch_dim=0, wrt="params").gram(),
    "hvp": lambda m, x: jacengine.hvp(lambda v: m(v).sum(), x, vector=x),
    "laplacian": lambda m, x: jacengine.laplacian(lambda v: m(v).sum(-1), x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_alike_models_share_what_is_known_and_are_freed(
    call: Callable[[nn.Module, Tensor], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[weakref.ref[Any]] = []
    for first in (True, False, False):
        model = mlp(3, 4, 2).float()
        gone += map(weakref.ref, (model, *model.children(), *model.parameters()))
        if not first:
            monkeypatch.setattr(planning, "analyze_request", _not_again)
            monkeypatch.setattr(examine, "analyze_request", _not_again)
        call(model, X)
        del model
    gc.collect()
    assert not any(ref() is not None for ref in gone)


def _not_again(*_: Any) -> Any:
    raise AssertionError("the call was analyzed again")


def test_what_is_changed_is_planned_for_anew_by_name_too() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 2), nn.Tanh())

    def by_name() -> Tensor:
        found: Tensor = jacengine.jacobian(
            lambda x: model(x) * 1.0, X, batch_dim=0, strategy="vmap_vjp"
        )
        return found

    assert by_name().shape == (4, 2, 3)
    model[1] = nn.Linear(2, 5)
    assert by_name().shape == (4, 5, 3)
    product: Any = model[1].weight @ model[0].weight
    torch.testing.assert_close(by_name()[0], product.detach())
