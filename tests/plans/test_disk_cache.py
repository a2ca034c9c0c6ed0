"""Choices on disk: used again after a projection, and never believed blindly."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import jacengine
from jacengine.commands import doctor, main
from jacengine.plans import disk_cache
from jacengine.plans.plan import Plan

NAMES = ["reverse_loop", "batched_grad", "vmap_jvp"]


@pytest.fixture(autouse=True)
def folder(choices: Path) -> Path:
    return choices


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


X = torch.linspace(-1, 1, 12).reshape(4, 3)


def _plan(fn: Any = None, **options: Any) -> Plan:
    given: dict[str, Any] = {"batch_dim": 0, "strategies": NAMES} | options
    return jacengine.plan(_model() if fn is None else fn, X, **given)


def _only_file(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


def test_a_choice_is_found_again(folder: Path) -> None:
    first = _plan()
    assert first.selection.source == "measured"
    again = _plan()
    assert again.selection.source == "cache"
    assert again.strategy == first.strategy
    assert "measured earlier, verified now" in again.explain()
    torch.testing.assert_close(again(X), first(X))
    assert json.loads(_only_file(folder).read_text())["candidates"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\x00\xff" * 50,
        lambda text: "[" * 5000,
        lambda text: text + " " * 2**20,
        lambda text: text.replace('"schema', '"Schema'),
        lambda text: text.replace("reverse_loop", "os.system").replace(
            "batched_grad", "../../etc/passwd"
        ),
        lambda text: text.replace('"batched"', '"__import__"'),
        lambda text: json.dumps({"key": json.loads(text)["key"], "candidates": 3}),
    ],
)
def test_a_damaged_file_is_a_miss_and_replaced(damage: Any, folder: Path) -> None:
    _plan()
    file = _only_file(folder)
    file.write_text(damage(file.read_text()), errors="surrogateescape")
    plan = _plan()
    assert plan.selection.source == "measured"
    assert plan(X).shape == (4, 2, 3)
    assert _plan().selection.source == "cache"


def test_a_choice_that_is_wrong_here_is_not_used(folder: Path) -> None:
    torch.manual_seed(0)
    y = torch.randn(4, 3, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64)

    def distances(x: Tensor) -> Tensor:
        return torch.cdist(x, y)

    names = ["reverse_loop", "vmap_vjp"]  # the second is wrong in torch 2.13
    jacengine.plan(distances, x, strategies=names)
    file = _only_file(folder)
    document = json.loads(file.read_text())
    loop = next(r for r in document["candidates"] if r["strategy"] == "reverse_loop")
    method = {**loop["method"], "chunk_size": None}  # one direction would be right
    document["candidates"] = [{**loop, "strategy": "vmap_vjp", "method": method}]
    file.write_text(json.dumps(document))
    plan = jacengine.plan(distances, x, strategies=names)
    assert (plan.strategy, plan.selection.source) == ("reverse_loop", "measured")


@pytest.mark.parametrize(
    "change",
    [
        {"memory_budget": "1GiB"},
        {"create_graph": True},
        {"effort": "thorough"},
        {"strategies": NAMES[:2]},
        {"rows": slice(0, 1)},
        {"wrt": "params"},
        {"batch_dim": None},
        {"fn": lambda x: x.sin()},
        {"fn": nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))},
        {"fn": nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))},
        {"fn": _model().eval()},
    ],
)
def test_another_question_is_not_answered_from_the_cache(
    change: dict[str, Any],
) -> None:
    _plan()
    assert _plan(**change).selection.source == "measured"


def test_settings_of_torch_are_in_the_key() -> None:
    _plan()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert _plan().selection.source == "measured"
    finally:
        torch.set_num_threads(threads)


def test_a_file_in_the_folder_s_place_warns(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.warns(UserWarning, match="choices cannot be kept"):
        assert _plan()(X).shape == (4, 2, 3)


def test_no_cache_if_the_variable_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(disk_cache.VARIABLE, "")
    _plan()
    assert _plan().selection.source == "measured"


def test_times_of_a_busy_machine_are_used_while_it_is_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = 999.0
    monkeypatch.setattr("jacengine.selection.select.load_average", lambda: load)
    assert "Unstable" in _plan().explain()
    again = _plan()
    assert again.selection.source == "cache"
    assert "Unstable" in again.explain()
    load = 0.0
    quiet = _plan()
    assert quiet.selection.source == "measured"
    assert "Unstable" not in quiet.explain()
    load = 999.0
    assert "Unstable" not in _plan().explain()


def test_commands(folder: Path) -> None:
    _plan()
    run = CliRunner().invoke
    assert run(main, ["cache", "path"]).output.strip() == str(folder)
    listed = run(main, ["cache", "list"]).output
    assert any(name in listed for name in NAMES)
    (folder / ("0" * 64 + ".json")).write_text("{")
    assert "?" in run(main, ["cache", "list"]).output
    assert "2 choices deleted" in run(main, ["cache", "clear"]).output
    assert not list(folder.glob("*.json"))


def test_a_choice_of_a_busy_machine_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jacengine.selection.select.load_average", lambda: 999.0)
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)
    plan = _plan()
    said = " ".join(plan.explain().split())
    assert "once it is quiet, auto and plan measure again" in said
    [entry] = disk_cache.described()
    assert entry.unstable

    listed = CliRunner().invoke(main, ["cache", "list", "--format", "json"])
    assert "busy machine" in json.loads(listed.stdout)[0]["notes"]
    checks = {check.check: check for check in doctor.run_checks()}
    assert checks["cache"].status == "warning"
    assert "holds 1 choice; 1 measured on a busy machine" in checks["cache"].message
    assert checks["load"].status == "warning"


def test_no_choices_are_no_empty_table(folder: Path) -> None:
    result = CliRunner().invoke(main, ["cache", "list"])
    assert result.stdout == ""
    assert result.stderr == f"no choices ({folder})\n"
    result = CliRunner().invoke(main, ["cache", "list", "--format", "json"])
    assert json.loads(result.stdout) == []
