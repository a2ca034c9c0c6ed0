"""Results with all inputs side by side in one axis."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from tests.problems import OF_INPUTS, OF_PARAMETERS, mlp, randn


def _joined(nested: dict[str, Tensor], lead: int) -> Tensor:
    return torch.cat([block.flatten(lead) for block in nested.values()], dim=-1)


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_parameters_of_samples(strategy: str, chunk_size: int | None) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    how: dict[str, Any] = {"strategy": strategy, "chunk_size": chunk_size}
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    nested = jacengine.jacobian(model, x, **options, strategy="reverse_loop")
    flat = jacengine.jacobian(model, x, **options, **how, layout="flat")
    assert torch.allclose(flat, _joined(nested, 2))
    out = torch.full_like(flat, float("nan"))
    again = jacengine.jacobian(model, x, **options, **how, layout="flat", out=out)
    assert again is out
    assert torch.allclose(out, flat)


@pytest.mark.parametrize("strategy", OF_INPUTS)
@pytest.mark.parametrize("batch_dim", [None, 0])
def test_several_inputs(strategy: str, batch_dim: int | None) -> None:
    def fn(x: Tensor, y: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"a": x * y["u"], "b": (x**2).sum(-1) * y["v"].sum(-1)}

    x, y = randn(4, 3), {"u": randn(4, 3), "v": randn(4, 2)}
    options: dict[str, Any] = {"wrt": (0, 1), "batch_dim": batch_dim}
    nested = jacengine.jacobian(fn, x, y, **options, strategy="reverse_loop")
    flat = jacengine.jacobian(fn, x, y, **options, strategy=strategy, layout="flat")
    for name, rank in (("a", 2), ("b", 1)):
        u, v = nested[name][1]["u"], nested[name][1]["v"]
        parts = [part.flatten(rank) for part in (nested[name][0], u, v)]
        assert torch.allclose(flat[name], torch.cat(parts, dim=-1))


@pytest.mark.parametrize("effort", ["none", "quick", "thorough"])
def test_auto(effort: Any) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0, "effort": effort}
    flat = jacengine.auto(model, x, **options, layout="flat")
    assert torch.allclose(flat, _joined(jacengine.auto(model, x, **options), 2))


def test_rows_and_graph() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    whole = jacengine.auto(model, x, **options, layout="flat")
    row = jacengine.auto(model, x, **options, layout="flat", rows=slice(1, 2))
    assert torch.allclose(row, whole[:, 1:])
    graph = jacengine.auto(model, x, **options, layout="flat", create_graph=True)
    assert graph.requires_grad
    assert torch.allclose(graph, whole)


def test_views_find_parameters() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    nested = jacengine.auto(model, x, wrt="params", batch_dim=0)
    flat = jacengine.auto(model, x, wrt="params", batch_dim=0, layout="flat")
    views = jacengine.named_views(flat, model)
    assert list(views) == list(nested)
    for name, view in views.items():
        assert view.shape == nested[name].shape
        assert torch.allclose(view, nested[name])
        assert view.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()


def test_views_of_scalars_and_tied_parameters() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(2.0))
            self.b = nn.Linear(2, 2, bias=False)
            self.c = self.b

        def forward(self, x: Tensor) -> Tensor:
            return self.a * nn.functional.linear(self.b(x), self.c.weight)

    model = Tied()
    wrt = ["a", "b.weight", "c.weight"]
    flat = jacengine.auto(model, torch.randn(3, 2), wrt=wrt, batch_dim=0, layout="flat")
    assert flat.shape == (3, 2, 5)
    views = jacengine.named_views(flat, model, wrt)
    assert views["a"].shape == (3, 2)
    assert torch.equal(views["b.weight"], views["c.weight"])


def test_nonsense_is_refused() -> None:
    model, x = mlp(3, 2), randn(5, 3)
    with pytest.raises(jacengine.ArgumentError, match="expected one of 'dict', 'flat'"):
        jacengine.auto(model, x, batch_dim=0, layout="matrix")  # type: ignore[call-overload]
    with pytest.raises(jacengine.ArgumentError, match="have 8 entries"):
        jacengine.named_views(torch.zeros(5, 7), model)
    with pytest.raises(jacengine.ArgumentError, match="out= has shape"):
        jacengine.auto(
            model,
            x,
            wrt="params",
            batch_dim=0,
            layout="flat",
            out=torch.zeros(5, 7).double(),
        )
