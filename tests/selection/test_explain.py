"""The table of a selection, in terminals of any width."""

import functools

import pytest
import torch

import jacengine
from jacengine.plans.plan import Plan
from jacengine.selection.budget import format_bytes
from jacengine.timing import format_seconds
from tests.test_tables import WIDTHS

COUNTED = ("chunk", "fwd", "bwd", "predicted")


@functools.cache
def _plan() -> Plan:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2))
    return jacengine.plan(model, torch.randn(5, 3), batch_dim=0)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_loses_a_figure(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    plan = _plan()
    lines = plan.explain().splitlines()
    text = " ".join(lines)
    table = [line for line in lines if not line.endswith(".")]

    assert max(map(len, table)) <= width
    for result in plan.selection.candidates:
        assert result.strategy in text or width < 80  # which may fold it
        if result.time_s is not None:
            assert format_seconds(result.time_s) in text
        if result.peak_bytes is not None:
            assert format_bytes(result.peak_bytes) in text
        if result.outcome != "ok":
            words = f"{result.outcome}: {result.notes}".split()
            assert set(words) - {result.outcome + ":"} <= set(text.split())
    for title in COUNTED:
        assert title in text


def test_a_narrow_terminal_has_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    plan = _plan()

    count = len(plan.explain().splitlines())
    assert count <= 6 + 2 * len(plan.selection.candidates)
