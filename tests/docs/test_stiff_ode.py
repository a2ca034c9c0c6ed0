"""The Rosenbrock method of `examples/stiff_ode.py`: its order, and stiff problems."""

import math
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

FILE = Path(__file__).parents[2] / "examples" / "stiff_ode.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(FILE), run_name="example")


def logistic(y: Tensor, p: Tensor) -> Tensor:
    return p * y * (1 - y)


def test_order_of_the_step(example: dict[str, Any]) -> None:
    """Halving the step divides the error by 2^4; that of the estimate by 2^3."""
    p = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    errors: list[float] = []
    for count in (8, 16):
        y = torch.full((2, 1), 0.2, dtype=torch.float64)
        h = torch.full((2, 1), 1 / count, dtype=torch.float64)
        for _ in range(count):
            J = (p * (1 - 2 * y)).unsqueeze(-1)
            y, _ = example["rodas_step"](logistic, J, y, p, h)
        exact = 1 / (1 + 4 * torch.exp(-p))
        errors.append(float((y - exact).abs().max()))
    assert 3.5 < math.log2(errors[0] / errors[1]) < 4.6


@pytest.mark.parametrize("name", ["Robertson", "Van der Pol"])
def test_against_radau(example: dict[str, Any], name: str) -> None:
    f, y, p, end = example["problems"](3)[name]
    end = min(end, 100.0)
    found = example["solve"](f, y, p, end)
    expected = example["radau"](f, y, p, end)
    assert example["error"](found.y, expected) < 1e-5
    loose = example["solve"](f, y, p, end, rtol=1e-3, atol=1e-6)
    assert (loose.steps < found.steps).all()
    assert int(found.steps.max()) == found.jacobians
    if name == "Robertson":  # mass is conserved
        torch.testing.assert_close(found.y.sum(1), torch.ones(3, dtype=torch.float64))


def test_samples_have_their_own_steps(example: dict[str, Any]) -> None:
    f, y, p, end = example["problems"](3)["Van der Pol"]
    together = example["solve"](f, y, p, end)
    for k in range(3):
        alone = example["solve"](f, y[k : k + 1], p[k : k + 1], end)
        torch.testing.assert_close(alone.y[0], together.y[k], rtol=1e-9, atol=1e-12)
        assert alone.steps[0] == together.steps[k]


def test_it_prints(example: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    example["main"](2, compare=False)
    said = capsys.readouterr().out
    assert said.count("RODAS:") == 2
    assert "Robertson, 2 samples to t = 10000" in said
