"""The library without the extra `report`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"jinja2", "markupsafe", "matplotlib", "psutil"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""
USE = """
import torch, jacengine
f, x = torch.tanh, torch.randn(3, 2)
assert jacengine.auto(f, x, batch_dim=0).shape == (3, 2, 2)
assert jacengine.plan(f, x, batch_dim=0, compiled=False)(x).shape == (3, 2, 2)
assert (jacengine.operator(f, x, batch_dim=0) @ torch.ones(6)).shape == (6,)
assert len(jacengine.benchmark(f, x, batch_dim=0).to_frame())
"""
MAIN = "from jacengine.commands import main; sys.argv = ['jacengine', *{}]; main()"
INSTALL = "pip install 'jacengine[report]'"


def run(script: str, *, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + script],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )


def test_the_library_needs_none_of_it() -> None:
    done = run(USE)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["--version"],
        ["auto", "tests.commands.test_auto:pair"],
        ["strategies"],
        ["workloads"],
        ["bench", "--list"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_commands_that_need_none_of_it(command: list[str]) -> None:
    done = run(MAIN.format(command))

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_load_is_said_not_to_be_measured() -> None:
    found = " ".join(run(MAIN.format(["doctor"])).stdout.split())

    _, _, said = found.partition("warning load: load average ")
    assert "The load by other processes needs psutil" in said
    assert INSTALL in said


def test_plot_names_the_extra() -> None:
    done = run("import torch, jacengine; jacengine.plot(torch.eye(3))")

    assert done.returncode == 1
    assert "MissingExtraError: `jacengine.plot` needs matplotlib" in done.stderr
    assert INSTALL in done.stderr


@pytest.mark.parametrize(
    "command", [["bench", "-k", "mlp", "--out", "made"], ["report", "run"]]
)
def test_commands_name_the_extra_before_they_work(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/results.json").write_text("{}", encoding="utf-8")
    done = run(MAIN.format(command), folder=tmp_path)

    assert done.returncode == 2, done.stderr
    assert INSTALL in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "results.json"]
