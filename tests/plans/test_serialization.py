"""Plans written to files and bound again."""

from pathlib import Path

import pytest
import torch
from torch import nn

import jacengine
from jacengine import ArgumentError, PlanMismatchError

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


def test_other_options_are_refused(tmp_path: Path) -> None:
    model, file = _model(), tmp_path / "plan.json"
    jacengine.plan(model, X, batch_dim=0).save(file)
    with pytest.raises(PlanMismatchError, match="was made with"):
        jacengine.load_plan(file, model, X)


def test_a_function_that_the_method_is_wrong_for_is_refused(tmp_path: Path) -> None:
    x, file = torch.randn(5, 3, dtype=torch.float64), tmp_path / "plan.json"
    jacengine.plan(torch.sin, x, strategies=["vmap_vjp"], effort="none").save(file)
    with pytest.raises(PlanMismatchError, match="does not compute this Jacobian"):
        jacengine.load_plan(file, lambda x: torch.cdist(x, x[:4] + 1), x)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"key": 3}', "\x00"])
def test_damaged_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(ArgumentError, match="The saved plan"):
        jacengine.load_plan(file, torch.sin, X)
