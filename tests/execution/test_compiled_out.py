"""Compiled plans that write into `out=`: by programs of their own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.execution import sweep
from tests.compiling import COMPILING, compiled_plan, programs, right
from tests.problems import randn

pytestmark = COMPILING


def _net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def test_out_is_written_and_nothing_made_anew_for_it() -> None:
    net, x = _net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    out = torch.full((5, 2, 3), torch.nan, dtype=x.dtype)
    for other in (x, randn(5, 3)):
        assert plan(other, out=out) is out
        torch.testing.assert_close(out, right(net, other))
        torch.testing.assert_close(plan(other), right(net, other))
    assert programs(plan) == 2  # one that returns, and one that writes


def test_large_results_are_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = _net(), randn(5, 3)
    monkeypatch.setattr(sweep, "LARGE", 5 * 2 * 3 * 8)
    plan = compiled_plan(net, x, batch_dim=0)
    out = torch.full((5, 2, 3), torch.nan, dtype=x.dtype)
    known = programs(plan)
    torch.testing.assert_close(plan(x), right(net, x))
    torch.testing.assert_close(plan(x + 1, out=out), right(net, x + 1))
    assert programs(plan) == known  # the one that writes does both


@pytest.mark.parametrize("large", [True, False])
def test_inference_mode(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = _net(), randn(5, 3)
    if large:
        monkeypatch.setattr(sweep, "LARGE", 1)
    plan = compiled_plan(net, x, batch_dim=0)
    out = torch.empty(5, 2, 3, dtype=x.dtype)
    with torch.inference_mode():
        found = plan(x)
        plan(x + 1, out=out)
    assert not found.is_inference()
    torch.testing.assert_close(found, right(net, x))
    torch.testing.assert_close(out, right(net, x + 1))


def test_a_result_is_not_the_memory_of_another() -> None:
    net, x = _net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    first, second = torch.empty(5, 2, 3).double(), torch.empty(5, 2, 3).double()
    plan(x, out=first)
    kept = first.clone()
    plan(x + 1, out=second)
    plan(x + 2)
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["dict", "flat"])
def test_blocks_of_parameters(layout: Any) -> None:
    net, x = _net(), randn(5, 3)
    options: dict[str, Any] = {"batch_dim": 0, "wrt": "params", "layout": layout}
    plan = compiled_plan(net, x, **options)
    eager = jacengine.plan(net, x, effort="none", **options)
    out = eager(x)
    for step in range(3):
        wanted = eager(x + step)
        if isinstance(out, Tensor):
            plan(x + step, out=out.fill_(torch.nan))
            torch.testing.assert_close(out, wanted)
        else:
            plan(x + step, out={name: block.fill_(7) for name, block in out.items()})
            torch.testing.assert_close(out, wanted)
        with torch.no_grad():
            net.get_parameter("0.weight").mul_(1.5)


def test_several_outputs_by_several_inputs() -> None:
    def fn(a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"z": a.sin() * b.sum(), "a": (a[:2] * b).cos()}

    a, b = randn(3), randn(2)
    plan = compiled_plan(fn, a, b, wrt=(1, 0))
    wanted = torch.func.jacrev(fn, argnums=(1, 0))(a, b)
    out = {key: tuple(map(torch.zeros_like, line)) for key, line in wanted.items()}
    plan(a, b, out=out)
    torch.testing.assert_close(out, wanted)


def test_a_file_is_written(tmp_path: Path) -> None:
    net, x = _net(), randn(5, 3)
    plan = compiled_plan(net, x, batch_dim=0)
    file = str(tmp_path / "J")
    out = torch.from_file(file, shared=True, size=30, dtype=x.dtype).view(5, 2, 3)
    plan(x, out=out)
    again = torch.from_file(file, shared=True, size=30, dtype=x.dtype)
    torch.testing.assert_close(again.view(5, 2, 3), right(net, x))


def test_what_does_not_fit_is_refused_and_left_alone() -> None:
    x = randn(3)
    plan = compiled_plan(torch.sin, x)
    for out in (torch.zeros(3, 2).double(), torch.zeros(3, 3), [torch.zeros(3, 3)]):
        with pytest.raises(jacengine.ArgumentError, match="out="):
            plan(x, out=out)
    strided = torch.zeros(3, 6).double()[:, ::2]
    with pytest.raises(jacengine.ArgumentError, match="not contiguous"):
        plan(x, out=strided)
    assert not strided.any()


@pytest.mark.parametrize("quantity", ["hessian", "hessian_diagonal", "laplacian"])
def test_second_derivatives(quantity: Any) -> None:
    def fn(x: Tensor) -> Tensor:
        return (x**3).sum(-1)

    x = randn(4, 3)
    plan = compiled_plan(fn, x, batch_dim=0, quantity=quantity)
    whole = torch.diag_embed(6 * x)
    diagonal = whole.diagonal(dim1=-2, dim2=-1)
    wanted = {
        "hessian": whole,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(-1),
    }[quantity]
    out = torch.full_like(wanted, torch.nan)
    plan(x, out=out)
    torch.testing.assert_close(out, wanted)
