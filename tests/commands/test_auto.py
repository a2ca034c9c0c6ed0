import json
from pathlib import Path

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
