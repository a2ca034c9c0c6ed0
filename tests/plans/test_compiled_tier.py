"""Compiled beside the calls: when those have paid, and used if it is right."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.execution import compiled as execution
from jacengine.plans import background, compiled_tier
from jacengine.plans.background import on_a_thread
from jacengine.plans.plan import Plan
from jacengine.selection.candidate_result import CandidateResult
from tests.problems import mlp, randn

NAMES = ["batched_grad"]


def _inline(run: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(run())
    return future


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call pay, and compile in the call itself."""
    monkeypatch.setattr(compiled_tier, "START", _inline)
    for price in ("PROGRAM_S", "COMPILE_S", "IMPORT_S"):
        monkeypatch.setattr(compiled_tier, price, 0.0)


def _interpreted(graph: Any, _: Any) -> Callable[[], Any]:
    """Stand for a compiler: run the graph as it is."""
    return lambda: lambda values: list(graph(*values))


def _wrong(graph: Any, _: Any) -> Callable[[], Any]:
    return lambda: lambda values: [block * 1.01 for block in graph(*values)]


def _failing(*_: Any) -> Any:
    raise RuntimeError("no compiler was found")


def _fn(x: Tensor) -> Tensor:
    for _ in range(3):
        x = x * 1.1 + x.square().neg() * 0.1
    return x


def _plan(fn: Any = _fn, x: Tensor | None = None, **options: Any) -> Plan:
    x = randn(5) if x is None else x
    return jacengine.plan(fn, x, strategies=NAMES, **options)


def _right(x: Tensor) -> Tensor:
    found: Any = torch.autograd.functional.jacobian(_fn, x)
    assert isinstance(found, Tensor)
    return found


@pytest.mark.usefixtures("at_once")
def test_what_is_compiled_takes_over_between_calls() -> None:
    plan = _plan()
    begun: list[bool] = []
    for seed in range(4):
        x = randn(5, seed=seed)
        torch.testing.assert_close(plan(x), _right(x))
        begun.append(plan.chosen.compiled)
    assert begun == [False, True, True, True]
    assert "compiled" in plan.explain()


@pytest.mark.usefixtures("at_once")
def test_the_calls_of_auto_are_compiled() -> None:
    kept = []
    for seed in range(6):
        x = randn(5, seed=seed)
        offset = randn(5, seed=100 + seed)
        found = jacengine.auto(
            lambda x, o=offset: _fn(x + o), x, strategies=NAMES, calls=10**9
        )
        torch.testing.assert_close(found, _right(x + offset))
        kept.append(found)
    assert len({tensor.data_ptr() for tensor in kept}) == 6


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("compiler", "said"),
    [(_wrong, "another one"), (_failing, "no compiler was found")],
)
def test_what_is_wrong_or_fails_leaves_the_plan_as_it_is(
    compiler: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", compiler)
    plan = _plan()
    for seed in range(4):
        x = randn(5, seed=seed)
        torch.testing.assert_close(plan(x), _right(x))
    assert not plan.chosen.compiled
    assert said in " ".join(plan.explain().split())


@pytest.mark.usefixtures("at_once")
def test_values_may_change_while_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    model, x = mlp(5, 4, 3), randn(5)
    plan = _plan(model, x)
    plan(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    x.mul_(2)
    wanted: Any = torch.autograd.functional.jacobian(model, x)
    torch.testing.assert_close(plan(x), wanted)
    tried = [r for r in plan.selection.candidates if r.compiled]
    assert [result.outcome for result in tried] == ["ok"]


@pytest.mark.parametrize(
    "options",
    [
        {"effort": "none"},
        {"create_graph": True},
        {"has_aux": True},
        {"compiled": False},
    ],
)
@pytest.mark.usefixtures("at_once")
def test_what_is_not_compiled(options: dict[str, Any]) -> None:
    fn = (lambda x: (_fn(x), x)) if "has_aux" in options else _fn
    plan = _plan(fn, **options)
    for _ in range(3):
        plan(randn(5))
    assert not any(result.compiled for result in plan.selection.candidates)
    assert plan.wait(randn(5)) is plan
    assert not any(result.compiled for result in plan.selection.candidates)


def test_it_waits_for_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_tier, "START", _failing)
    plan = _plan()
    for _ in range(20):
        plan(randn(5))
    assert "Not compiled yet" in plan.explain()
    monkeypatch.setattr(compiled_tier, "LONGEST_CALL_S", 0.0)
    assert "ompile" not in _plan().explain()  # a call is too long to gain


def test_the_number_of_calls_is_taken_at_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    monkeypatch.setattr(compiled_tier, "START", _inline)
    few, many = _plan(calls=2), _plan(calls=10**9)
    for plan in (few, many):
        for _ in range(2):
            plan(randn(5))
    assert not any(result.compiled for result in few.selection.candidates)
    assert any(result.compiled for result in many.selection.candidates)


def test_who_waits_has_it_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    x = randn(5)
    plan = _plan().wait(x)
    assert any(result.compiled for result in plan.selection.candidates)
    torch.testing.assert_close(plan(x), _right(x))
    with pytest.raises(jacengine.PlanMismatchError):
        _plan().wait(randn(6))


@pytest.mark.usefixtures("at_once")
def test_other_sizes_and_other_processes_are_not_kept_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    plan = _plan(mlp(3, 4, 2), randn(6, 3), batch_dim=0)
    for _ in range(3):
        plan(randn(6, 3))
    compiled = next(r for r in plan.selection.candidates if r.compiled)
    plan._use((compiled, *(r for r in plan.selection.ranked if r is not compiled)))
    assert plan.chosen.compiled
    monkeypatch.setattr(execution, "lowered_graph", _failing)
    monkeypatch.setattr(compiled_tier, "PROGRAM_S", 1e9)
    assert plan(randn(4, 3)).shape == (4, 2, 3)
    assert not plan.__getstate__()["_left"][0].compiled


def test_who_waits_may_stop_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_tier, "START", lambda _: Future[Any]())
    plan, x = _plan(), randn(5)
    with pytest.raises(TimeoutError):
        plan.wait(x, timeout=0.0)
    torch.testing.assert_close(plan(x), _right(x))
    assert "being made" in plan.explain()


def test_what_was_skipped_and_is_compiled_is_one_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    x = randn(5)
    plan = jacengine.plan(_fn, x, strategies=["batched_grad", "elimination"])
    skipped = [r for r in plan.selection.candidates if r.strategy == "elimination"]
    if skipped[0].outcome != "skipped":
        skipped = [CandidateResult("elimination", "skipped", "not tried")]
        others = [r for r in plan.selection.ranked if r.strategy != "elimination"]
        selection = replace(plan.selection, candidates=(*others, *skipped))
        plan = Plan(
            plan.problem,
            selection,
            plan.signature,
            plan.compositions,
            plan.callee,
            compiled="auto",
        )
    plan.wait(x)
    rows = [r for r in plan.selection.candidates if r.strategy == "elimination"]
    assert [(row.outcome, row.compiled) for row in rows] == [("ok", True)]


class _Scaled(torch.nn.Module):
    scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return _fn(x * self.scale)


@pytest.mark.parametrize("by_auto", [False, True])
def test_nothing_is_compiled_in_a_call_that_waits(
    monkeypatch: pytest.MonkeyPatch, *, by_auto: bool
) -> None:
    monkeypatch.setattr(execution, "lowered_graph", _interpreted)
    model, x = _Scaled(), randn(5)
    plan = _plan(model, x).wait(x)
    compiled = next(r for r in plan.selection.candidates if r.compiled)
    plan._use((compiled, *(r for r in plan.selection.ranked if r is not compiled)))
    torch.testing.assert_close(plan(x), _right(x))
    monkeypatch.setattr(execution, "lowered_graph", _failing)
    out = torch.empty(5, 5, dtype=x.dtype)
    for scale in (2.0, 3.0, 1.0):
        model.scale = scale
        wanted = torch.func.jacrev(model)(x)
        found = plan.compute(plan.callee, [x]) if by_auto else plan(x)
        torch.testing.assert_close(found, wanted)
        plan(x, out=out)
        torch.testing.assert_close(out, wanted)
    assert plan.chosen.compiled
    assert not plan.failures


def test_a_thread_tells_what_it_made_or_raised() -> None:
    assert on_a_thread(lambda: 3).result(60) == 3
    with pytest.raises(ZeroDivisionError):
        on_a_thread(lambda: 1 // 0).result(60)


def test_the_users_own_compiled_functions_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is traced beside the calls: compiled functions raise meanwhile."""
    for price in ("PROGRAM_S", "COMPILE_S", "IMPORT_S"):
        monkeypatch.setattr(compiled_tier, price, 0.0)
    traced_on: list[str] = []
    trace = torch.fx.Tracer.trace

    def noted(*args: Any, **kwargs: Any) -> Any:
        traced_on.append(threading.current_thread().name)
        return trace(*args, **kwargs)

    monkeypatch.setattr(torch.fx.Tracer, "trace", noted)
    plan = _plan(lambda x: (_fn(x).sin() @ x).exp() * x)
    plan(randn(5))
    random.seed(0)
    drawn = [random.random() for _ in range(3)]
    assert plan._tier is not None
    plan._tier.result(300)
    after = random.random()
    random.seed(0)
    assert [random.random() for _ in range(4)] == [*drawn, after]
    assert "jacengine" not in traced_on
    assert threading.main_thread().name in traced_on


def _forked(_: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(RuntimeError("the process was forked meanwhile"))
    return future


@pytest.mark.usefixtures("at_once")
def test_a_child_goes_on_without_what_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled_tier, "START", _forked)
    plan = _plan()
    for seed in range(3):
        x = randn(5, seed=seed)
        torch.testing.assert_close(plan(x), _right(x))
    assert not plan.chosen.compiled
    assert "forked" in plan.explain()


def test_a_child_does_not_wait_for_what_works_in_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = threading.Event()
    future = on_a_thread(lambda: ended.wait(60))
    (thread,) = (t for t, f in background._WORKING if f is future)
    copies = {(thread, Future[Any]())}
    monkeypatch.setattr(background, "_WORKING", set(copies))
    background._after_fork()  # as the child does
    (copy,) = (f for _, f in copies)
    with pytest.raises(RuntimeError, match="forked"):
        copy.result(0)
    assert not background._WORKING
    ended.set()
    assert future.result(60)


SCRIPT = """
import torch, jacengine
from jacengine.plans import compiled_tier
compiled_tier.PROGRAM_S = compiled_tier.IMPORT_S = compiled_tier.COMPILE_S = 0.0
def f(x):
    for _ in range(9):
        x = torch.sin(x) * 1.1 + x.cos()
    return x
plan = jacengine.plan(f, torch.ones(5), strategies=["batched_grad"])
plan(torch.ones(5))
assert plan._tier is not None and plan._tier.begun
print("end")
"""


def test_a_process_ends_while_it_is_compiled() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.stdout == "end\n"
    assert done.returncode == 0
    assert done.stderr == ""
