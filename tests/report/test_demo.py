import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import jacengine
from jacengine.bench import demo
from jacengine.bench.models import MODELS, Model


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    command = ["--out", str(folder), "--quick", *arguments]
    monkeypatch.setattr(sys, "argv", ["demo", *command])
    return CliRunner().invoke(demo.main, command)


def test_models_are_named_and_explained() -> None:
    assert len({model.name for model in MODELS}) == len(MODELS)
    for model in MODELS:
        assert model.use.endswith(".")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_models_are_the_same_every_time(model: Model) -> None:
    first, second = model.build(), model.build()

    assert str(first.fn(*first.args)) == str(second.fn(*second.args))


def test_a_problem_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, monkeypatch, "--only", "robot_arm")

    assert result.exit_code == 0, result.output
    assert "(1/1) robot_arm" in result.stderr
    assert "Summary" in result.stdout
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    [case] = found["cases"]
    names = {row["strategy"] for row in case["rows"]}
    assert names == set(jacengine.list_strategies())
    assert str(tmp_path) not in found["command"]


def test_an_interruption_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = demo.measured

    def interrupted(model: Model, *rest: object) -> object:
        if model.name == "robot_arm":
            raise KeyboardInterrupt
        return measure(model, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "measured", interrupted)
    result = run(
        tmp_path, monkeypatch, "--only", "mlp_classifier", "--only", "robot_arm"
    )

    assert result.exit_code == 130
    assert "1 of 2 problems" in result.stderr
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [case["name"] for case in found["cases"]] == ["mlp_classifier"]
    assert found["planned"] == 2


def test_an_interruption_at_once_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "measured", interrupted)
    result = run(tmp_path / "new", monkeypatch, "--only", "robot_arm")

    assert result.exit_code == 130
    assert not (tmp_path / "new").exists()
