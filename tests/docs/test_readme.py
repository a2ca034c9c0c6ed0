"""The README says what the code says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import jacengine
from jacengine.api.strategies import known_strategies
from jacengine.registry import Registry
from jacengine.strategies import BUILTIN

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_is_the_file() -> None:
    file = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert _block("example: examples/quickstart.py") in file


@pytest.mark.parametrize("name", jacengine.list_strategies())
def test_the_table_has_every_strategy(name: str) -> None:
    strategy = known_strategies().get(name)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))
    words = {"jvp": "forward", "vjp": "reverse", "direct": "direct"}
    direction = words[strategy.capabilities.mode]
    for cell in (strategy.summary, direction, strategy.wins, strategy.strategy.source):
        assert f"| {cell} |" in row


def test_the_strategy_of_ones_own_computes_jacobians(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = next(
        b
        for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "jacengine.Strategy" in b
    )
    registry = Registry(BUILTIN)
    for module in ("jacobian", "strategies"):
        name = f"jacengine.api.{module}.known_strategies"
        monkeypatch.setattr(name, lambda: registry)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "readme", "exec", dont_inherit=True), names)
    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    found = jacengine.jacobian(torch.sin, x, strategy="finite_differences")
    torch.testing.assert_close(found, torch.diag(x.cos()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "path", re.findall(r"^\| `([\w/]+/)`", README, flags=re.MULTILINE)
)
def test_every_folder_in_the_table_exists(path: str) -> None:
    assert (ROOT / path).is_dir()
