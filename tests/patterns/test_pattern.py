"""Patterns: what users may give, what is refused, files and pictures."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from matplotlib.text import Text
from torch import Tensor

import jacengine
from jacengine.patterns.given import as_pattern, sparsity_option
from jacengine.patterns.pattern import Pattern

sp: Any = scipy.sparse
"""Its stubs know fewer types of arrays than it does."""


def csr_of(mask: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's: its CSR layout is in beta
        return mask.double().to_sparse_csr()


MASK = torch.tensor([[True, False, True], [False, True, False]])
ROWS, COLUMNS = [0, 0, 1], [0, 2, 1]
SAME: dict[str, Any] = {
    "pattern": Pattern((2, 3), ROWS, COLUMNS),
    "any order": Pattern((2, 3), ROWS[::-1], COLUMNS[::-1]),
    "boolean tensor": MASK,
    "boolean array": MASK.numpy(),
    "COO tensor": MASK.double().to_sparse(),
    "CSR tensor": csr_of(MASK),
    "CSR array": sp.csr_array(MASK.numpy()),
    "COO matrix": sp.coo_matrix(MASK.numpy()),
    "explicit zeros": sp.coo_array((np.zeros(3), (ROWS, COLUMNS)), shape=(2, 3)),
}


@pytest.mark.parametrize("name", SAME)
def test_what_users_give(name: str) -> None:
    assert as_pattern(SAME[name]) == SAME["pattern"]


def test_rows_and_columns_have_the_shape_of_the_result() -> None:
    x = torch.arange(1.0, 4.0)
    given = (torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    values = jacengine.auto(torch.sin, x, sparsity=given, layout="values")
    torch.testing.assert_close(values, x.cos())


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "message"),
    [
        ((2, 3), [0, 2], [0, 0], "has no row 2"),
        ((2, 3), [0, -1], [0, 0], "has no row -1"),
        ((2, 3), [0, 1], [0, 3], "has no column 3"),
        ((2, 3), [0, 1, 0], [0, 1, 0], r"has the entry \(0, 0\) twice"),
        ((2, 3), [0, 1], [0], "2 rows and 1 columns"),
        ((2, 3), [0.5], [0], "1-D array of indices"),
        ((2, 3), [[0]], [[0]], "1-D array of indices"),
    ],
)
def test_malformed(shape: Any, rows: Any, columns: Any, message: str) -> None:
    with pytest.raises(jacengine.ArgumentError, match=message):
        Pattern(shape, rows, columns)


@pytest.mark.parametrize(
    "given", [torch.ones(2, 3), "sparse", 3, torch.ones(2, 2, 2, dtype=torch.bool)]
)
def test_what_is_no_pattern(given: Any) -> None:
    with pytest.raises(jacengine.ArgumentError, match="sparsity="):
        sparsity_option(given)


def test_a_pattern_of_another_shape_is_refused() -> None:
    with pytest.raises(jacengine.ArgumentError, match=r"\(2, 3\), but J has 4 rows"):
        jacengine.auto(torch.sin, torch.ones(4), sparsity=MASK)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "pattern.npz"
    pattern = Pattern((2, 3), ROWS, COLUMNS, origin="made for a test")
    pattern.save(path)
    loaded = Pattern.load(path)
    assert loaded == pattern
    assert loaded.origin == pattern.origin
    assert [found.name for found in tmp_path.iterdir()] == ["pattern.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nonsense" * 100])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pattern.npz"
    path.write_bytes(content)
    with pytest.raises(jacengine.ArgumentError, match="holds no pattern"):
        Pattern.load(path)


def test_a_file_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "pattern.npz"
    np.savez(path, shape=np.array([1, 1]), rows=np.array([{}]), columns=np.array([0]))
    with pytest.raises(jacengine.ArgumentError, match="holds no pattern"):
        Pattern.load(path)


def test_scipy() -> None:
    matrix = Pattern((2, 3), ROWS, COLUMNS).to_scipy()
    assert (matrix.toarray() == MASK.numpy()).all()


def test_equality_and_union() -> None:
    one, other = Pattern((2, 2), [0], [0]), Pattern((2, 2), [1], [0])
    assert one != other
    assert one != Pattern((2, 3), [0], [0])
    assert one.union(other) == Pattern((2, 2), [0, 1], [0, 0])
    assert other.transposed() == Pattern((2, 2), [0], [1])
    assert len({one, Pattern((2, 2), [0], [0])}) == 1
    assert Pattern((2, 2), [0, 1, 1], [1, 0, 1]).symmetric
    assert not other.symmetric


def test_dense() -> None:
    pattern = Pattern((2, 3), ROWS, COLUMNS)
    assert torch.equal(pattern.to_tensor().bool(), MASK)
    long = Pattern((1000, 2), [0, 999], [0, 1])
    assert torch.equal(long.to_tensor(4)[[0, -1]], torch.eye(2))
    assert long.to_tensor(4).shape == (4, 2)


def test_plot() -> None:
    figure = jacengine.plot(Pattern((5000, 3), [0, 4999], [0, 2]))
    assert any("5,000 x 3, 2 nonzeros" in t.get_text() for t in figure.findobj(Text))


def test_picture() -> None:
    picture = str(Pattern((4, 4), [0, 1, 2, 3], [0, 1, 2, 3]))
    assert "4 x 4, 4 nonzeros (25.00%), 1 colours" in picture
    assert picture.splitlines()[-1] == "⠑⢄"
    assert "(empty)" in str(Pattern((0, 4), [], []))
