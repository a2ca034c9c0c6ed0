"""Jacobians in pieces: together the whole, each within the budget."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.peak_memory import peak_memory
from jacengine.plans.blockwise import BlockwiseJacobian, Piece
from tests.problems import mlp, randn

PER_SAMPLE: dict[str, Any] = {"wrt": "params", "batch_dim": 0}


def _model() -> tuple[nn.Module, Tensor, int]:
    """Return a model, its input, and the bytes of its Jacobian."""
    model, x = mlp(20, 30, 4).float(), randn(60, 20).float()
    size = sum(p.numel() for p in model.parameters())
    return model, x, 60 * 4 * size * 4


def test_pieces_of_samples_are_the_whole() -> None:
    model, x, size = _model()
    whole = jacengine.auto(model, x, **PER_SAMPLE)
    pieces = list(jacengine.blocks(model, x, **PER_SAMPLE, memory_budget=size))
    assert len(pieces) > 2
    assert [p.samples.start for p in pieces[1:]] == [
        p.samples.stop for p in pieces[:-1]
    ]
    for name, block in whole.items():
        together = torch.cat([piece.jacobian[name] for piece in pieces])
        assert torch.allclose(together, block, atol=1e-6)


@pytest.mark.parametrize("batch_dim", [None, 0])
def test_pieces_of_rows_are_the_whole(batch_dim: int | None) -> None:
    model, x = mlp(16, 8, 9), randn(20, 16)
    options: dict[str, Any] = {"batch_dim": batch_dim, "by": "rows"}
    whole = jacengine.auto(model, x, batch_dim=batch_dim)
    flat = whole.flatten(0, 1) if batch_dim is None else whole
    budget = flat.numel() * 8 * 3 // 4 if batch_dim is None else 70_000
    pieces = list(jacengine.blocks(model, x, **options, memory_budget=budget))
    axis = 0 if batch_dim is None else 1
    together = torch.cat([piece.jacobian for piece in pieces], dim=axis)
    assert torch.allclose(together, flat)
    assert pieces[-1].rows.stop == flat.shape[axis]


def test_pieces_of_parameters_are_the_whole() -> None:
    model, x, size = _model()
    whole = jacengine.auto(model, x, **PER_SAMPLE)
    pieces = list(
        jacengine.blocks(
            model, x, **PER_SAMPLE, by="parameters", memory_budget=2 * size
        )
    )
    assert len(pieces) > 1
    assert [name for piece in pieces for name in piece.parameters] == list(whole)
    for piece in pieces:
        assert list(piece.jacobian) == list(piece.parameters)
        for name, block in piece.jacobian.items():
            assert torch.allclose(block, whole[name], atol=1e-6)


@pytest.mark.parametrize(("by", "times"), [("samples", 1), ("parameters", 3)])
def test_a_consumer_that_reduces_stays_within_the_budget(by: Any, times: int) -> None:
    model, x, size = _model()
    budget = times * size
    options: dict[str, Any] = {**PER_SAMPLE, "by": by, "memory_budget": budget}
    for piece in jacengine.blocks(model, x, **options):  # selections go before
        del piece
    with peak_memory(torch.device("cpu")) as peak:
        total = 0.0
        for piece in jacengine.blocks(model, x, **options):
            total += sum(float(block.sum()) for block in piece.jacobian.values())
    assert 0 < peak.bytes <= budget


@pytest.mark.parametrize("layout", ["dict", "flat"])
def test_a_result_on_disk_larger_than_the_budget(tmp_path: Path, layout: Any) -> None:
    model, x, size = _model()
    whole: Any = jacengine.auto(model, x, **PER_SAMPLE, layout=layout)

    def on_disk(name: str, like: Tensor) -> Tensor:
        file = str(tmp_path / name)
        made = torch.from_file(file, shared=True, size=like.numel(), dtype=like.dtype)
        return made.view(like.shape)

    out: Any = (
        on_disk("J", whole)
        if layout == "flat"
        else {name: on_disk(name, block) for name, block in whole.items()}
    )
    got = jacengine.auto(
        model, x, **PER_SAMPLE, layout=layout, out=out, memory_budget=size // 2
    )
    assert got is out
    expected: Any = {"": whole} if layout == "flat" else whole
    for name, place in ({"": out} if layout == "flat" else out).items():
        assert torch.allclose(place, expected[name], atol=1e-6)


def test_rows_of_a_result_larger_than_the_budget() -> None:
    fn = mlp(5, 64)
    x = randn(40, 5)
    whole = jacengine.auto(fn, x)
    out = torch.full_like(whole, float("nan"))
    budget = whole.numel() * 8 - 1
    jacengine.auto(fn, x, out=out, memory_budget=budget, strategies=["reverse_loop"])
    assert torch.allclose(out, whole)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.Dropout])
@pytest.mark.parametrize("by", [None, "rows", "parameters"])
def test_samples_that_are_not_their_own_are_kept_together(
    kind: type[nn.Module], by: Any
) -> None:
    """A part of the batch has other statistics, and draws other numbers."""
    torch.manual_seed(0)
    layer = kind(4) if kind is nn.BatchNorm1d else kind()
    model = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 3)).double()
    x = randn(12, 3)
    options: dict[str, Any] = {**PER_SAMPLE, "layout": "flat", "randomness": "same"}
    torch.manual_seed(1)
    whole = jacengine.auto(model, x, **options)
    torch.manual_seed(1)
    budget = 39 * whole.numel() * 8 // 10
    pieces = list(jacengine.blocks(model, x, **options, by=by, memory_budget=budget))
    assert len(pieces) > 1
    axis = -1 if by == "parameters" else 1
    together = torch.cat([piece.jacobian for piece in pieces], dim=axis)
    assert torch.allclose(together, whole)
    with pytest.raises(jacengine.ArgumentError, match="some at a time"):
        jacengine.blocks(model, x, **options, by="samples")
    out = torch.empty_like(whole)
    with pytest.raises(jacengine.ArgumentError, match="independent samples"):
        jacengine.auto(model, x, **options, out=out, memory_budget=1000)


def test_what_cannot_be_cut_is_refused() -> None:
    model, x = mlp(3, 2), randn(5, 3)
    with pytest.raises(jacengine.ArgumentError, match="needs independent samples"):
        jacengine.blocks(model, x, by="samples")
    with pytest.raises(jacengine.ArgumentError, match="names inputs"):
        jacengine.blocks(model, x, by="parameters")
    with pytest.raises(jacengine.ArgumentError, match="expected one of 'samples'"):
        jacengine.blocks(model, x, by="columns")  # type: ignore[call-overload]
    with pytest.raises(jacengine.MemoryBudgetError):
        list(jacengine.blocks(model, x, batch_dim=0, memory_budget=10))
    with pytest.raises(jacengine.ArgumentError, match="out= has shape"):
        jacengine.auto(
            model, x, batch_dim=0, out=torch.zeros(6, 2, 3), memory_budget=300
        )


def _energy(x: Tensor) -> Tensor:
    return (x.sin() * x.roll(1, -1)).sum(-1) ** 2


@pytest.mark.parametrize("quantity", ["hessian", "hessian_diagonal", "laplacian"])
def test_second_derivatives_in_pieces_of_samples(quantity: Any) -> None:
    x = randn(60, 12)
    plan = jacengine.plan(_energy, x, batch_dim=0, quantity=quantity, effort="none")
    whole = plan(x)
    budget = max(4 * whole.numel() * 8 // 3, 30_000)
    pieces = list(
        jacengine.blocks(
            _energy, x, batch_dim=0, quantity=quantity, memory_budget=budget
        )
    )
    torch.testing.assert_close(torch.cat([p.jacobian for p in pieces]), whole)
    assert len(pieces) > 1 or quantity == "laplacian"


class _Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = mlp(3, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x)
        return found.square().mean()


@pytest.mark.parametrize("layout", ["dict", "flat"])
def test_hessians_in_pieces_of_rows(layout: Any) -> None:
    loss, x = _Loss(), randn(6, 3)
    whole = jacengine.hessian(loss, x, wrt="params", layout="flat")
    pieces = list(
        jacengine.blocks(
            loss,
            x,
            wrt="params",
            layout=layout,
            quantity="hessian",
            by="rows",
            memory_budget="100kB",
        )
    )
    assert len(pieces) > 1
    parts = [piece.jacobian for piece in pieces]
    if layout == "dict":
        named = [[block.flatten(1) for block in part.values()] for part in parts]
        parts = [torch.cat(blocks, dim=1) for blocks in named]
    torch.testing.assert_close(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantity": "laplacian", "by": "rows"}, "which a Laplacian is not"),
        (
            {"quantity": "hessian", "by": "parameters", "wrt": "params"},
            "between groups of parameters",
        ),
        ({"quantity": "hessean"}, "expected one of 'jacobian', "),
    ],
)
def test_second_derivatives_that_are_not_cut(options: Any, said: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match=said):
        jacengine.blocks(_Loss(), randn(6, 3), **options)


@pytest.mark.parametrize("by", ["samples", "rows", "parameters"])
@pytest.mark.parametrize("share", [3, 100])
def test_pieces_have_a_length(by: Any, share: int) -> None:
    model, x, size = _model()
    budget = share * size
    pieces = jacengine.blocks(model, x, **PER_SAMPLE, by=by, memory_budget=budget)
    expected = len(pieces)
    assert repr(pieces) == f"Pieces(Jacobian by {by}: {expected})"
    assert len(list(pieces)) == len(pieces)
    assert len(pieces) >= expected
    if share == 100:
        assert len(pieces) == 1
    with pytest.raises(StopIteration):
        next(pieces)


def test_there_are_more_pieces_where_one_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x, size = _model()
    of_samples = BlockwiseJacobian._of_samples

    def refusing(self: BlockwiseJacobian, part: slice, budget: int) -> Piece:
        if part.stop - part.start > 3:
            raise jacengine.MemoryBudgetError
        return of_samples(self, part, budget)

    monkeypatch.setattr(BlockwiseJacobian, "_of_samples", refusing)
    pieces = jacengine.blocks(model, x, **PER_SAMPLE, memory_budget=100 * size)
    assert len(pieces) == 1
    samples = [piece.samples for piece in pieces]
    assert len(samples) == len(pieces) > 1
    assert samples[0].start == 0
    assert samples[-1].stop == len(x)
