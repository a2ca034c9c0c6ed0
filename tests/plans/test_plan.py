"""A plan: chosen once, right at every further call of its signature."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError, PlanMismatchError
from jacengine.plans.plan import Plan
from jacengine.registry import Registry
from jacengine.selection.select import select
from jacengine.strategies import BUILTIN
from jacengine.strategies.reverse_loop import ReverseLoop
from tests.broken_strategies import Reverse, raising, spoiling
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.contract.tree import tree_map
from tests.problems import OF_PARAMETERS, mlp, plan_among, prepared, randn

OPTIONS: list[dict[str, Any]] = [
    {"batch_dim": 0},
    {"batch_dim": 0, "wrt": "params"},
    {"wrt": "params", "rows": slice(0, 2)},
]


def plan_of(model: nn.Module, x: Tensor, **options: Any) -> Plan:
    return jacengine.plan(model, x, effort="none", **options)


def check(plan: Plan, model: nn.Module, x: Tensor, **options: Any) -> None:
    """Check that a plan gives what a new computation gives."""
    wanted = reference_jacobian(Case(model, (x,), options=options))
    assert_same(plan(x), wanted, 1e-10)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_other_inputs(strategy: str, options: dict[str, Any]) -> None:
    if strategy == "quasi_linear":
        options = {"wrt": "params", **options}
    model = mlp(3, 4, 2)
    plan = plan_of(model, randn(5, 3), strategies=[strategy], **options)
    for seed in (2, 3):
        check(plan, model, randn(5, 3, seed=seed), **options)


def step(model: nn.Sequential) -> None:
    model(randn(5, 3)).sum().backward()
    torch.optim.SGD(model.parameters(), 0.5).step()


def load(model: nn.Sequential) -> None:
    model.load_state_dict(mlp(3, 4, 2, seed=7).state_dict())


def load_assigned(model: nn.Sequential) -> None:
    model.load_state_dict(mlp(3, 4, 2, seed=7).state_dict(), assign=True)


def reassign(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(randn(4, 3, seed=8))


def replace_layer(model: nn.Sequential) -> None:
    model[0] = mlp(3, 4, seed=9)[0]


def freeze(model: nn.Sequential) -> None:
    model[2].requires_grad_(requires_grad=False)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
@pytest.mark.parametrize(
    "change", [step, load, load_assigned, reassign, replace_layer, freeze]
)
def test_other_parameters(
    change: Callable[[nn.Sequential], None], strategy: str, options: dict[str, Any]
) -> None:
    if strategy == "quasi_linear":
        options = {"wrt": "params", **options}
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = plan_of(model, x, strategies=[strategy], **options)
    plan(x)
    change(model)
    if change is freeze and options.get("wrt") == "params":
        options = {**options, "wrt": [name for name, _ in model.named_parameters()]}
    check(plan, model, x, **options)


def test_a_layer_of_another_kind_in_its_place() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    options = {"wrt": "params", "batch_dim": 0}
    plan = plan_of(model, x, strategies=["quasi_linear"], **options)
    model[1] = nn.Softplus()
    check(plan, model, x, **options)


def both(x: Tensor, *, scale: Tensor) -> Tensor:
    return x * scale


DIFFERENT: list[tuple[str, tuple[Any, ...], str]] = [
    ("shape", (randn(5, 4),), r"differs  argument .*\[0\]: planned .*5, 3.*got .*5, 4"),
    ("dtype", (randn(5, 3).float(),), r"differs  argument .*\[0\].*float64.*float32"),
    ("count", (randn(5, 3), randn(5, 3)), "differs  structure of the arguments"),
    ("nesting", ((randn(5, 3),),), "differs  structure of the arguments"),
    ("number", (3.0,), r"differs  argument .*\[0\].*float"),
    ("none", (), "differs  structure of the arguments"),
]


def test_a_flag_of_another_value() -> None:
    def centered(x: Tensor, scale: float, across: bool) -> Tensor:
        return scale * (x - x.mean(0) if across else x)

    x = randn(5, 3)
    plan = jacengine.plan(centered, x, 2.0, False, batch_dim=0, effort="none")
    found = plan(x, 3.0, False)
    torch.testing.assert_close(found, 3 * torch.eye(3).double().expand(5, 3, 3))
    with pytest.raises(PlanMismatchError, match="planned False, got True"):
        plan(x, 3.0, True)


@pytest.mark.parametrize(
    ("args", "said"), [d[1:] for d in DIFFERENT], ids=[d[0] for d in DIFFERENT]
)
def test_another_signature(args: tuple[Any, ...], said: str) -> None:
    plan = plan_of(mlp(3, 4, 2), randn(5, 3), batch_dim=0)
    with pytest.raises(PlanMismatchError, match=said) as error:
        plan(*args)
    assert "same     training flags" in str(error.value)
    assert "jacengine.plan(" in str(error.value)
    assert isinstance(error.value, ValueError)


def test_other_keyword_arguments() -> None:
    x = randn(3)
    plan = jacengine.plan(both, x, kwargs={"scale": randn(3)}, effort="none")
    scale = randn(3, seed=4)
    assert_same(plan(x, kwargs={"scale": scale}), scale.diag(), 1e-12)
    with pytest.raises(PlanMismatchError, match=r"\['scale'\].*float32"):
        plan(x, kwargs={"scale": scale.float()})
    with pytest.raises(PlanMismatchError, match="structure of the arguments"):
        plan(x)


def test_arguments_are_named_as_the_caller_has_them() -> None:
    plan = jacengine.plan(both, randn(3), kwargs={"scale": randn(3)}, effort="none")
    with pytest.raises(PlanMismatchError, match=r"args\[0\].*\n.*kwargs\['scale'\]"):
        plan(randn(4), kwargs={"scale": randn(4)})


def test_another_training_flag() -> None:
    model = nn.Sequential(mlp(3, 4), nn.Dropout(0.5)).eval()
    x = randn(5, 3)
    plan = plan_of(model, x, batch_dim=0)
    model[1].train()
    with pytest.raises(PlanMismatchError, match="differs  training flags"):
        plan(x)
    model.eval()
    check(plan, model, x, batch_dim=0)


def test_another_dtype_of_the_parameters() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = plan_of(model, x, wrt="params", batch_dim=0)
    model.float()
    with pytest.raises(PlanMismatchError, match=r"parameter 0\.weight: .*64.*32"):
        plan(x)


def test_other_settings_of_torch() -> None:
    plan = plan_of(mlp(3, 4, 2), randn(5, 3), batch_dim=0)
    with torch.autocast("cpu"), pytest.raises(PlanMismatchError, match="settings of"):
        plan(randn(5, 3))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_out(strategy: str, options: dict[str, Any]) -> None:
    if strategy == "quasi_linear":
        options = {"wrt": "params", **options}
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = plan_of(model, x, strategies=[strategy], **options)
    out = tree_map(lambda leaf: torch.full_like(leaf, float("nan")), plan(x))
    for seed in (2, 3):
        again = randn(5, 3, seed=seed)
        assert plan(again, out=out) is out
        wanted = reference_jacobian(Case(model, (again,), options=options))
        assert_same(out, wanted, 1e-10)


def test_aux_of_each_call() -> None:
    plan = jacengine.plan(
        lambda x: (x.sin(), {"sum": x.sum()}), randn(3), has_aux=True, effort="none"
    )
    x = randn(3, seed=5)
    J, aux = plan(x)
    assert_same(J, x.cos().diag(), 1e-12)
    assert_same(aux, {"sum": x.sum()}, 1e-12)


def test_explanations() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    plan = jacengine.plan(model, x, batch_dim=0)
    text = plan.explain()
    for name in jacengine.list_strategies():
        assert name in text
    assert "2 outputs x 3 inputs, 5 samples" in text
    assert f"Chosen: {plan.strategy}" in text
    frame = plan.to_frame()
    assert set(frame["strategy"]) == set(jacengine.list_strategies())
    assert list(frame.columns[:3]) == ["strategy", "outcome", "reason"]
    assert frame["strategy"].iloc[0] == plan.strategy
    assert frame["outcome"].iloc[0] == "ok"
    assert (frame["reason"][frame["outcome"] != "ok"] != "").all()
    assert plan.why_not(plan.strategy) == f"{plan.strategy} is the one in use."
    said = plan.why_not("quasi_linear")
    assert said.startswith("quasi_linear: unsupported: differentiates parameters")
    for name in jacengine.list_strategies():
        assert name in plan.why_not(name)
    with pytest.raises(ArgumentError, match=r"was not a candidate\..*'vmap_vjp'"):
        plan.why_not("vmap_vpj")


def test_names_in_messages_are_no_markup() -> None:
    fault = Reverse(raising(ValueError("[red]bold[/red] <script> [/]"), 0))
    plan = plan_among([fault, ReverseLoop()], torch.sin, randn(3))
    text = " ".join(plan.explain().split())
    assert "[red]bold[/red] <script> [/]" in text


def test_the_same_choice_each_time_without_timing() -> None:
    model, x = mlp(3, 8, 5), randn(5, 3)
    for options in OPTIONS:
        plans = [plan_of(model, x, **options) for _ in range(3)]
        assert len({(p.strategy, p.chosen.chunk_size) for p in plans}) == 1
        assert all(record.time_s is None for record in plans[0].selection.candidates)


@pytest.mark.parametrize("ticks", [[0.0], [0.0, -5.0, 3.0], [1e300, 0.0]])
@pytest.mark.parametrize("effort", ["none", "quick"])
def test_a_clock_that_goes_odd(ticks: list[float], effort: Any) -> None:
    problem, call = prepared(mlp(3, 4, 2), randn(5, 3), batch_dim=0)
    found = select(
        problem,
        call,
        Registry(BUILTIN).choose(None, ()),
        budget=10**9,
        effort=effort,
        clock=itertools.cycle(ticks).__next__,
    )
    assert found.ranked
    assert math.isfinite(found.cost_s)
    assert all(math.isfinite(record.time_s or 0) for record in found.candidates)


def test_a_candidate_that_fails_later_is_replaced() -> None:
    armed: list[bool] = []

    def spoil(product: Tensor) -> Tensor:
        if armed:
            raise RuntimeError("no more")
        return product

    x = randn(3)
    strategies = [Reverse(spoiling(spoil)), ReverseLoop()]
    made = plan_among(strategies, torch.sin, x, effort="thorough")
    records = sorted(made.selection.ranked, key=lambda r: r.strategy != "faulty")
    selection = replace(made.selection, candidates=tuple(records))
    plan = Plan(made.problem, selection, made.signature, callee=made.callee)
    assert plan.strategy == "faulty"
    armed.append(True)
    with pytest.warns(UserWarning, match=r"faulty failed .*no more.* reverse_loop"):
        assert_same(plan(x), x.cos().diag(), 1e-12)
    assert plan.strategy == "reverse_loop"
    assert "faulty failed" in plan.explain()
    assert_same(plan(x), x.cos().diag(), 1e-12)
