"""`auto`, `doctor`, the lists, and what holds for all commands."""

import json
from pathlib import Path

import pytest
import torch

from jacengine.bench.workload import Question
from jacengine.commands import doctor, main
from jacengine.plans import disk_cache
from tests.commands.build import run


def pair() -> tuple[object, ...]:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2), torch.ones(4, 3)


def nested() -> tuple[object, ...]:
    return torch.mul, (torch.ones(2), torch.ones(2))


def question() -> Question:
    return Question(torch.nn.Linear(3, 2), (torch.ones(4, 3),), wrt="params")


def raises() -> None:
    raise ValueError("no [red]model[/]")


def refuses() -> tuple[object, ...]:
    def fn(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("inside")

    return fn, torch.ones(2)


def wrong() -> int:
    return 3


HERE = "tests.commands.test_others"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pair",), "8 outputs x 12 inputs"),
        (("pair", "--batch-dim", "0"), "2 outputs x 3 inputs, 4 samples"),
        (("pair", "--wrt", "params", "--batch-dim", "0"), "2 outputs x 8 inputs"),
        (("pair", "--wrt", "weight", "--batch-dim", "0"), "2 outputs x 6 inputs"),
        (("nested", "--wrt", "1"), "2 outputs x 2 inputs"),
        (("question",), "2 outputs x 8 inputs, 4 samples"),
        (("pair", "--effort", "none", "--strategies", "vmap_vjp"), "Chosen: vmap_vjp"),
    ],
)
def test_auto(arguments: tuple[str, ...], said: str) -> None:
    name, *options = arguments

    result = run("auto", f"{HERE}:{name}", *options)

    assert result.exit_code == 0, result.output
    assert said in result.stdout
    assert "Chosen: " in result.stdout


def test_auto_keeps_its_choice(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"

    assert run("auto", f"{HERE}:pair", "--save", path).exit_code == 0
    assert json.loads(path.read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("raises",), 2, "ValueError: no [red]model[/] (test_others.py, line"),
        (("refuses",), 2, "inside"),
        (("wrong",), 2, "returned a int"),
        (("HERE",), 2, "is a str"),
        (("pare",), 2, "Did you mean 'pair'"),
        (("pair", "--wrt", "wieght"), 2, "weight"),
        (("pair", "--strategies", "vmap_vpj"), 2, "Did you mean 'vmap_vjp'"),
        (("pair", "--memory-budget", "8B"), 3, "budget"),
        (("pair", "--batch-dim", "1"), 2, "batch-dim"),
    ],
)
def test_mistakes_with_auto(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    name, *options = arguments

    result = run("auto", f"{HERE}:{name}", *options)

    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOAD_S", 0.01)

    result = run("doctor", "--format", "json")

    assert result.exit_code == 0, result.output
    found = {check["check"]: check for check in json.loads(result.stdout)}
    assert found["vmap_vjp"]["message"] == "correct for inputs and parameters"
    assert found["cache"]["status"] == "warning"
    assert {"threads", "load", "timer", "vmap(jacrev)"} <= found.keys()
    assert "Processor" in run("doctor").stdout


def test_doctor_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)
    monkeypatch.setattr(doctor, "broken_plugins", lambda: {"x": "[bold]gone"})

    result = run("doctor")

    assert result.exit_code == 1
    assert "plug-in x: [bold]gone" in result.stdout


def test_doctor_looks_at_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(disk_cache, "folder", lambda: tmp_path / "file" / "below")
    checks = {check.check: check for check in doctor.run_checks()}

    assert "not writable" in checks["cache"].message


def test_lists() -> None:
    found = json.loads(run("strategies", "--format", "json").stdout)
    assert {"vmap_vjp", "quasi_linear"} <= {entry["strategy"] for entry in found}
    found = json.loads(run("strategies", "--peers", "--format", "json").stdout)
    assert "vmap(jacrev)" in {entry["library"] for entry in found}
    arguments = ("--catalogue", "tests.sweep.fakes:FINE")
    found = json.loads(run("workloads", *arguments, "--format", "json").stdout)
    assert [entry["sizes"] for entry in found] == [[2, 3, 4]] * 3
    assert "vmap_vjp" in run("strategies").stdout
    assert "2, 3, 4" in run("workloads", *arguments).stdout


def test_an_unknown_command_is_met_with_the_nearest() -> None:
    result = run("bensh")

    assert result.exit_code == 2
    assert "Did you mean 'bench'" in result.stderr


@pytest.mark.parametrize("name", ["", *main.commands])
def test_help(name: str) -> None:
    result = run(*name.split(), "--help")

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert "Raises" not in result.stdout


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "check_strategy", interrupted)
    monkeypatch.setattr(doctor, "LOAD_S", 0.0)

    assert run("doctor").exit_code == 130
