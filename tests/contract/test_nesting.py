"""Rows and columns count through trees: shown on a linear map with a known matrix."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case, Scenario
from tests.contract.scenarios import SCENARIOS
from tests.contract.tree import PyTree, tree_map

_MATRIX = torch.arange(63.0, dtype=torch.float64).reshape(7, 9).sin()
_ROWS = torch.tensor([6, 0, 3])
_COLUMNS = slice(1, 9, 3)


class _Pair(NamedTuple):
    z: Tensor
    side: Tensor | None
    a: Tensor


def _linear(pair: _Pair, y: Tensor) -> dict[str, Tensor]:
    flat = torch.cat([pair.z.flatten(-2), pair.a, y], dim=-1)
    out = flat @ _MATRIX.mT
    return {"q": out[..., :3], "b": out[..., 3:].unflatten(-1, (2, 2))}


def _jacobian(batch: int | None, **options: object) -> PyTree:
    lead = () if batch is None else (batch,)
    generator = torch.Generator().manual_seed(3)
    flat = torch.randn(*lead, 9, dtype=torch.float64, generator=generator)
    side = torch.zeros(*lead, 1, dtype=torch.long)
    pair = _Pair(flat[..., :4].unflatten(-1, (2, 2)), side, flat[..., 4:6])
    batch_dim = None if batch is None else 0
    named: dict[str, Any] = {"wrt": (0, 1), "batch_dim": batch_dim, **options}
    return reference_jacobian(Case(_linear, (pair, flat[..., 6:]), options=named))


def _repeated(tree: PyTree, batch: int | None) -> PyTree:
    """Return the tree with a batch axis in front: each sample has the same matrix."""
    if batch is None:
        return tree
    return tree_map(
        lambda j: None if j is None else j.expand(batch, *j.shape).clone(), tree
    )


def _inside(rows: Tensor) -> PyTree:
    """Return rows of the matrix, nested as the inputs are."""
    z, a, y = rows.split([4, 2, 3], dim=-1)
    return (_Pair(z.unflatten(-1, (2, 2)), None, a), y)


@pytest.mark.parametrize("batch", [None, 4])
def test_all_entries(batch: int | None) -> None:
    q, b = _MATRIX.split([3, 4])
    wanted = {"q": _inside(q), "b": _inside(b.unflatten(0, (2, 2)))}
    assert_same(_jacobian(batch), _repeated(wanted, batch), 1e-12)


@pytest.mark.parametrize("batch", [None, 4])
def test_rows(batch: int | None) -> None:
    wanted = _inside(_MATRIX[_ROWS])
    assert_same(_jacobian(batch, rows=_ROWS), _repeated(wanted, batch), 1e-12)


@pytest.mark.parametrize("batch", [None, 4])
def test_columns(batch: int | None) -> None:
    q, b = _MATRIX[:, _COLUMNS].split([3, 4])
    wanted = {"q": q, "b": b.unflatten(0, (2, 2))}
    assert_same(_jacobian(batch, columns=_COLUMNS), _repeated(wanted, batch), 1e-12)


@pytest.mark.parametrize("batch", [None, 4])
def test_rows_and_columns(batch: int | None) -> None:
    wanted = _MATRIX[_ROWS][:, _COLUMNS]
    picked = _jacobian(batch, rows=_ROWS, columns=_COLUMNS)
    assert_same(picked, _repeated(wanted, batch), 1e-12)


@pytest.mark.parametrize(
    "scenario",
    [one for one in SCENARIOS if "selection" in one.tags],
    ids=lambda one: one.name,
)
def test_selection_is_part_of_the_whole(scenario: Scenario) -> None:
    case = scenario.build()
    every = {"rows": slice(None), "columns": slice(None)}
    named = {**every, **case.options}
    picked = reference_jacobian(Case(case.fn, case.args, case.kwargs, named))
    whole = reference_jacobian(
        Case(case.fn, case.args, case.kwargs, case.options | every)
    )
    rows, columns = named["rows"], named["columns"]
    assert_same(picked, whole[..., rows, :][..., columns], 0.0)
