"""Plans written to files and bound again."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError, PlanMismatchError, timing
from jacengine.execution.kernel_fallbacks import KERNEL_FALLBACKS
from jacengine.execution.method import Execution, Method
from jacengine.plans.serialization import from_json, to_json
from jacengine.problem.gradient import GradientMode
from jacengine.seeding.samples import SamplePolicy
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.select import Selection
from jacengine.strategies.vmap_jvp import VmapJvp
from jacengine.strategies.vmap_vjp import VmapVjp

X = torch.linspace(-1, 1, 12).reshape(4, 3)


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def test_a_saved_plan_computes_the_same(tmp_path: Path) -> None:
    model, file = _model(), tmp_path / "plan.json"
    plan = jacengine.plan(model, X, batch_dim=0, wrt="params")
    plan.save(file)
    loaded = jacengine.load_plan(file, model, X, batch_dim=0, wrt="params")
    assert loaded.strategy == plan.strategy
    assert loaded.chosen.chunk_size == plan.chosen.chunk_size
    torch.testing.assert_close(loaded(X + 1), plan(X + 1))
    assert "verified now" in loaded.explain()


def test_a_loaded_plan_replays_the_method_without_timing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 2))
    x, file = torch.randn(4, 2, 6, 6), tmp_path / "plan.json"
    options: dict[str, Any] = {"batch_dim": 0, "wrt": "params"}
    plan = jacengine.plan(model, x, strategies=["quasi_linear"], **options)
    assert plan.chosen.method is not None
    assert any("0.weight" in what for what, _ in plan.chosen.method.tuning)
    plan.save(file)

    def timed(*_: object) -> float:
        raise AssertionError("a saved choice was timed again")

    monkeypatch.setattr(timing, "seconds", timed)
    loaded = jacengine.load_plan(file, model, x, **options)
    assert loaded.chosen.method == plan.chosen.method
    saved = [r.method for r in plan.selection.candidates]
    assert [r.method for r in loaded.selection.candidates] == saved


def test_methods_survive_json() -> None:
    """Each field of a method, not at its default, comes back as it was."""
    method = Method(
        VmapJvp(),
        GradientMode.VJP,
        sample_policy=SamplePolicy.BATCHED,
        slice_size=3,
        chunk_size=2,
        execution=Execution.COMPILED,
        fallbacks=KERNEL_FALLBACKS[:2],
        tuning=(("4:graph", "vmap"),),
        other=Method(VmapVjp(), GradientMode.JVP, chunk_size=5),
    )
    result = CandidateResult(method.name, "ok", method=method, time_s=0.5)
    selection = Selection((result,), cost_s=1.0, budget=10, effort="quick")
    compositions = [side.composition for side in method.sides]
    found = from_json(to_json(selection, "key"), compositions)
    assert found.candidates == (result,)
    names = {f.name for f in dataclasses.fields(Method)}
    default = Method(VmapJvp())
    kept = {"strategy", "seeding"}  # of which there is one here
    assert all(getattr(method, n) != getattr(default, n) for n in names - kept)


def test_other_options_are_refused(tmp_path: Path) -> None:
    model, file = _model(), tmp_path / "plan.json"
    jacengine.plan(model, X, batch_dim=0).save(file)
    said = "was made with batch_dim=0, not with batch_dim=None. Leave"
    with pytest.raises(PlanMismatchError, match=said):
        jacengine.load_plan(file, model, X, batch_dim=None, layout="dict")


@pytest.mark.parametrize(
    "options",
    [
        {"wrt": (0, 1), "batch_dim": (0, None)},
        {"wrt": "inputs", "layout": "flat", "create_graph": True},
        {"rows": slice(1, None), "columns": torch.tensor([0, 2])},
        {"rows": slice(None, None, 2), "sparsity": None, "with_value": True},
        {"quantity": "divergence", "batch_dim": (0, None), "randomness": "same"},
    ],
)
def test_the_options_are_in_the_file(tmp_path: Path, options: dict[str, Any]) -> None:
    def fn(x: Tensor, y: Tensor) -> Tensor:
        return torch.sin(x) * y.sum()

    file, y = tmp_path / "plan.json", X[0] + 2
    plan = jacengine.plan(fn, X, y, **options)
    plan.save(file)
    for given in ({}, options):
        loaded = jacengine.load_plan(file, fn, X, y, **given)
        torch.testing.assert_close(loaded(X + 1, y), plan(X + 1, y))
        assert loaded.problem.options.key == plan.problem.options.key
    with pytest.raises(PlanMismatchError, match=r"plan\.json was made with layout="):
        jacengine.load_plan(file, fn, X, y, layout="coo")


def test_names_of_parameters_are_in_the_file(tmp_path: Path) -> None:
    model, file = _model(), tmp_path / "plan.json"
    plan = jacengine.plan(model, X, wrt=["0.bias"], batch_dim=0)
    plan.save(file)
    loaded = jacengine.load_plan(file, model, X)
    torch.testing.assert_close(loaded(X), plan(X))


def test_a_pattern_has_to_be_given_again(tmp_path: Path) -> None:
    x, file = torch.linspace(0.0, 1.0, 100), tmp_path / "plan.json"
    pattern = jacengine.sparsity(torch.sin, x)
    plan = jacengine.plan(torch.sin, x, layout="csr", sparsity=pattern)
    plan.save(file)
    with pytest.raises(PlanMismatchError, match=r"cannot hold.* the same sparsity="):
        jacengine.load_plan(file, torch.sin, x)
    loaded = jacengine.load_plan(file, torch.sin, x, sparsity=pattern)
    torch.testing.assert_close(loaded(x), plan(x))


def test_a_function_that_the_method_is_wrong_for_is_refused(tmp_path: Path) -> None:
    x, file = torch.randn(5, 3, dtype=torch.float64), tmp_path / "plan.json"
    jacengine.plan(torch.sin, x, strategies=["vmap_vjp"], effort="none").save(file)
    with pytest.raises(PlanMismatchError, match="does not compute this Jacobian"):
        jacengine.load_plan(file, lambda x: torch.cdist(x, x[:4] + 1), x)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"key": 3}', '{"key": "{}"}', '{"key": "{1}"}', "\x00"]
)
def test_damaged_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(ArgumentError, match="The saved plan"):
        jacengine.load_plan(file, torch.sin, X)
