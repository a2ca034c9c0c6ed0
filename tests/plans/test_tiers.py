"""What a choice costs: a call's worth at first, a race when calls have paid for it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.api.strategies import known_strategies
from jacengine.interface import Strategy
from jacengine.plans import cached_plan, planning
from jacengine.plans.cached_plan import CachedPlan
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.restore import restore_verified
from jacengine.registry import Registry
from jacengine.selection import first_choice, memory_bound
from jacengine.selection import select as selecting
from jacengine.selection.candidates import candidates
from jacengine.selection.first_choice import choose_first
from jacengine.selection.select import Selection
from jacengine.strategies import BUILTIN
from tests.broken_strategies import Reverse
from tests.problems import OF_INPUTS, mlp, prepared, randn

BUDGET = 2**32


@pytest.fixture(autouse=True)
def races(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Begin with an empty cache; list the races."""
    run: list[object] = []
    cache = ProcessCache[CachedPlan](lambda cached: cached.plan.problem)
    monkeypatch.setattr(planning, "_PLANS", cache)
    monkeypatch.setattr(planning, "_SELECTIONS", {})
    monkeypatch.setenv("JACENGINE_CACHE_DIR", "")
    select: Callable[..., Any] = selecting.select

    def counted(*args: Any, **kwargs: Any) -> Any:
        run.append(args)
        return select(*args, **kwargs)

    monkeypatch.setattr(planning, "select", counted)
    return run


def _expected(model: nn.Module, x: Tensor) -> Tensor:
    found: Any = torch.autograd.functional.jacobian(model, x)
    assert isinstance(found, Tensor)
    return found


def test_the_first_call_runs_no_race(races: list[object]) -> None:
    model, x = mlp(5, 7, 3), randn(5)
    for _ in range(3):
        torch.testing.assert_close(jacengine.auto(model, x), _expected(model, x))
    assert not races


def test_a_race_is_run_once_when_calls_have_paid_for_it(
    races: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_plan, "RACE_S", 0.0)
    monkeypatch.setattr(cached_plan, "RACE_CALLS", 1e-6)
    model, x = mlp(5, 7, 3), randn(5)
    raced: list[int] = []
    for _ in range(5):
        torch.testing.assert_close(jacengine.auto(model, x), _expected(model, x))
        raced.append(len(races))
    assert raced == [0, 0, 1, 1, 1]  # the first call answers, the second is paid


def test_a_disturbed_race_is_run_again_when_it_is_quiet(
    races: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = 999.0
    monkeypatch.setattr("jacengine.selection.select.load_average", lambda: load)
    monkeypatch.setattr(cached_plan, "RACE_S", 0.0)
    monkeypatch.setattr(cached_plan, "RACE_CALLS", 1e-6)
    model, x = mlp(5, 7, 3), randn(5)
    for _ in range(4):
        jacengine.auto(model, x)
    assert len(races) == 1
    load = 0.0
    for _ in range(4):
        torch.testing.assert_close(jacengine.auto(model, x), _expected(model, x))
    assert len(races) == 2


def test_the_set_up_of_a_first_call_makes_no_race_dearer() -> None:
    x = randn(3)
    jacengine.auto(torch.sin, x)
    (entry,) = planning._PLANS._entries.values()
    first = replace(entry[0].plan.chosen, time_s=1.0)
    plan = copy.copy(entry[0].plan)
    plan._left = (first,)
    cached = CachedPlan(plan)
    cached.spend(1e-3)
    assert not cached.pays
    cached.spend(cached_plan.RACE_S)
    assert cached.pays


def test_a_race_waits_for_its_price(
    races: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_plan, "RACE_S", 1e9)
    model, x = mlp(5, 7, 3), randn(5)
    for _ in range(20):
        jacengine.auto(model, x)
    assert not races


@pytest.mark.parametrize(("calls", "count"), [(1, 0), (10**9, 1), (None, 0)])
def test_the_number_of_calls_is_taken_at_its_word(
    races: list[object], calls: int | None, count: int
) -> None:
    model, x = mlp(5, 7, 3), randn(5)
    found = jacengine.auto(model, x, calls=calls)
    torch.testing.assert_close(found, _expected(model, x))
    assert len(races) == count


@pytest.mark.parametrize(("effort", "count"), [("none", 1), ("thorough", 1)])
def test_other_efforts_decide_at_once(
    races: list[object], effort: Any, count: int
) -> None:
    model, x = mlp(3, 4, 2), randn(3)
    for _ in range(3):
        jacengine.auto(model, x, effort=effort, strategies=["repeat", "vmap_vjp"])
    assert len(races) == count


@pytest.mark.parametrize("calls", [0, -1, 1.5, True, "many"])
def test_numbers_of_calls_that_are_none(calls: Any) -> None:
    with pytest.raises(jacengine.ArgumentError, match="positive number of calls"):
        jacengine.auto(torch.sin, randn(3), calls=calls)


def test_a_plan_races_at_once(races: list[object]) -> None:
    model, x = mlp(3, 4, 2), randn(3)
    jacengine.auto(model, x)
    plan = jacengine.plan(model, x)
    assert len(races) == 1
    assert plan.selection.raced


def test_one_call_takes_few_evaluations() -> None:
    count = 0

    def f(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return x.sin() * x

    found = jacengine.auto(f, randn(4), strategies=["vmap_vjp"])
    torch.testing.assert_close(found, torch.func.jacrev(f)(randn(4)))
    # One look, one reference, one run that answers; and the check above.
    assert count == 4


@pytest.mark.parametrize("has_aux", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_the_first_answer_is_as_any(*, has_aux: bool, create_graph: bool) -> None:
    def f(x: Tensor) -> Any:
        return (x.sin() * x, x.sum()) if has_aux else x.sin() * x

    options: Any = {"has_aux": has_aux, "create_graph": create_graph}
    x = randn(4).requires_grad_(create_graph)
    first, second = (jacengine.auto(f, x, **options) for _ in range(2))
    if has_aux:
        torch.testing.assert_close(first[1], second[1])
        first, second = first[0], second[0]
    torch.testing.assert_close(first, second)
    assert first.requires_grad == create_graph
    out = torch.empty(4, 4, dtype=x.dtype)
    if not create_graph:
        jacengine.auto(f, x + 1, out=out, **options)
        torch.testing.assert_close(
            out, (x + 1).sin().diag() + ((x + 1) * (x + 1).cos()).diag()
        )


def _choose(
    strategies: tuple[Strategy, ...], fn: Any, x: Tensor, **options: Any
) -> Any:
    problem, bound = prepared(fn, x, **options)
    chosen = Registry(strategies).choose(None, (), problem.options.quantity)
    return choose_first(problem, bound, chosen, budget=BUDGET)


def _outcomes(selection: Selection) -> dict[str, str]:
    return {result.strategy: result.outcome for result in selection.candidates}


def test_what_is_wrong_is_not_chosen() -> None:
    faulty = Reverse(
        lambda _, right: lambda seeds: tuple(p * 1.001 for p in right(seeds))
    )
    model, x = mlp(5, 7, 3), randn(5)
    selection, found = _choose((faulty, *BUILTIN), model, x)
    assert _outcomes(selection)["faulty"] == "wrong"
    assert found is not None
    torch.testing.assert_close(found.nested(), _expected(model, x))


def test_what_raises_is_not_chosen() -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("no")

    model, x = mlp(5, 7, 3), randn(5)
    selection, found = _choose((Reverse(broken), *BUILTIN), model, x)
    assert _outcomes(selection)["faulty"] == "error"
    assert found is not None


def test_nothing_more_is_tried_than_is_paid_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = mlp(5, 7, 3), randn(5)
    selection, _ = _choose(BUILTIN, model, x)
    assert len(selection.ranked) > 1
    monkeypatch.setattr(first_choice, "ALLOWED_S", 0.0)
    monkeypatch.setattr(first_choice, "PLAUSIBLE", 0.0)
    selection, _ = _choose(BUILTIN, model, x)
    assert len(selection.ranked) == 1
    assert not selection.raced
    waiting = [r for r in selection.candidates if r.reason == first_choice.LATER]
    assert len(waiting) >= 3


def _indexed(x: Tensor) -> Tensor:
    return x[::7] * 2


def _outer(x: Tensor) -> Tensor:
    return (x.unsqueeze(1) * x).sin().sum(1)[:20]


def _cumulated(x: Tensor) -> Tensor:
    return torch.cumsum(x.exp(), 0).log()[:16]


def _embedded(x: Tensor) -> Tensor:
    index = torch.arange(0, x.numel(), 3)
    return torch.nn.functional.embedding(index, x.unsqueeze(1)).flatten()[:16]


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mlp": mlp(300, 64, 16),
    "indexed": _indexed,
    "outer": _outer,
    "cumulated": _cumulated,
    "embedded": _embedded,
    "view": lambda x: x[:16],
}


@pytest.mark.parametrize("name", [s for s in OF_INPUTS if s != "elimination"])
@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS)
def test_memory_that_is_negligible_is_bounded(
    fn: Callable[[Tensor], Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bound, "NEGLIGIBLE", 2**62)
    x = randn(300)
    try:
        plan = jacengine.plan(fn, x, strategies=[name], effort="none", sparsity=None)
    except jacengine.NoStrategyError:
        pytest.skip("not of these")
    bound = memory_bound.memory_bound(plan.problem)
    assert plan.chosen.method is not None
    directions = plan.chosen.method.directions(plan.problem)
    measured = plan.chosen.predicted_bytes
    assert measured is not None
    assert 0 < measured <= bound.whole.at(directions)


def test_all_that_is_referred_to_is_in_the_bound() -> None:
    centers = torch.rand(1, 500, 500, dtype=torch.float64)

    def distances(x: Tensor) -> Tensor:
        return torch.cdist(x.view(1, 1, -1), centers).flatten()

    problem, _ = prepared(distances, randn(500))
    method = next(candidates(problem, [known_strategies().get("vmap_vjp")]))
    assert memory_bound.negligible_memory(problem, method, 2**40) is None


def test_a_raced_choice_of_colors_serves_where_no_pattern_is_looked_for() -> None:
    def f(x: Tensor) -> Tensor:
        return x.sin() + torch.roll(x, 1)

    x = randn(100)
    plan = jacengine.plan(f, x)
    colored = {r: bool(r.method and r.method.colored) for r in plan.selection.ranked}
    ordered = sorted(colored, key=lambda r: colored[r])
    assert [colored[ordered[0]], colored[ordered[-1]]] == [False, True]
    saved = replace(plan.selection, candidates=tuple(ordered))
    problem = replace(plan.problem, pattern=None)
    restored = restore_verified(problem, plan.callee, [x], saved, BUDGET)
    assert restored is not None
    assert not any(r.method and r.method.colored for r in restored.candidates)
