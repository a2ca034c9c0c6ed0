import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from jacengine.bench.workload import DerivativeSpec
from tests.commands.build import run


def pair() -> tuple[object, ...]:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2), torch.ones(4, 3)


def nested() -> tuple[object, ...]:
    return torch.mul, (torch.ones(2), torch.ones(2))


def derivative() -> DerivativeSpec:
    return DerivativeSpec(torch.nn.Linear(3, 2), (torch.ones(4, 3),), wrt="params")


def raises() -> None:
    raise ValueError("no [red]model[/]")


def refuses() -> tuple[object, ...]:
    def fn(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("inside")

    return fn, torch.ones(2)


def quits() -> None:
    sys.exit("bye")


def none() -> None:
    pass


def wrong() -> int:
    return 3


HERE = "tests.commands.test_auto"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("pair",), "8 outputs x 12 inputs"),
        (("pair", "--batch-dim", "0"), "2 outputs x 3 inputs, 4 samples"),
        (("pair", "--wrt", "params", "--batch-dim", "0"), "2 outputs x 8 inputs"),
        (("pair", "--wrt", "weight", "--batch-dim", "0"), "2 outputs x 6 inputs"),
        (("nested", "--wrt", "1"), "2 outputs x 2 inputs"),
        (("derivative",), "2 outputs x 8 inputs, 4 samples"),
        (("pair", "--effort", "none", "--strategies", "vmap_vjp"), "Chosen: vmap_vjp"),
    ],
)
def test_auto(arguments: tuple[str, ...], text: str) -> None:
    name, *options = arguments

    result = run("auto", f"{HERE}:{name}", *options)

    assert result.exit_code == 0, result.output
    assert text in result.stdout
    assert "Chosen: " in result.stdout


def test_auto_keeps_its_choice(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"

    assert run("auto", f"{HERE}:pair", "--save", path).exit_code == 0
    assert json.loads(path.read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("raises",), 2, "ValueError: no [red]model[/] (test_auto.py, line"),
        (("refuses",), 2, "inside"),
        (("wrong",), 2, "returned a int"),
        (("HERE",), 2, "is a str"),
        (("pare",), 2, "Did you mean 'pair'"),
        (("pair", "--wrt", "wieght"), 2, "Did you mean 'weight'?"),
        (("pair", "--wrt", "parms"), 2, "Did you mean 'params'?"),
        (("nested", "--wrt", "inptus"), 2, "Did you mean 'inputs'?"),
        (("quits",), 2, "quits raised SystemExit: bye (test_auto.py, line"),
        (("none",), 2, "returned a NoneType"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no driver')", "RuntimeError: no driver (broken.py, line"),
        ("import sys; sys.exit()", "cannot be imported: SystemExit"),
        ("import jacengine_of_another_world", "No module named 'jacengine_of_another"),
        ("def build(:", "SyntaxError"),
    ],
)
def test_a_module_that_raises(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    result = run("auto", "broken:build")

    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "expected MODULE:NAME, as in"),
        ("models/mine.py:build", "not a file: models.mine:build"),
        ("no_such_module:build", "No module named 'no_such_module'"),
    ],
)
def test_a_name_of_no_factory(name: str, message: str) -> None:
    result = run("auto", name)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_formats(form: str) -> None:
    options = ("--strategies", "vmap_vjp,vmap_jvp", "--batch-dim", "0")
    result = run("auto", f"{HERE}:pair", *options, "--format", form)

    assert result.exit_code == 0, result.output
    if form == "json":
        found = json.loads(result.stdout)
        best = found["candidates"][0]
        assert found["strategy"] == best["strategy"]
        assert (found["outputs"], found["inputs"], found["samples"]) == (2, 3, 4)
        assert best["outcome"] == "ok"
        assert best["time_s"] > 0
        assert {r["strategy"] for r in found["candidates"]} == {"vmap_vjp", "vmap_jvp"}
    elif form == "csv":
        frame = pd.read_csv(io.StringIO(result.stdout))
        assert set(frame.strategy) == {"vmap_vjp", "vmap_jvp"}
        assert frame.time_s[0] > 0
    else:
        title, _, *rows = result.stdout.splitlines()
        assert title.startswith("| strategy | outcome |")
        assert len(rows) >= 2
        assert "None" not in result.stdout
