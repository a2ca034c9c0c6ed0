"""Colour counts of patterns with known answers, and that every entry is readable."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from torch import Tensor

from jacengine.patterns.coloring import Coloring
from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern

sp: Any = scipy.sparse
"""Its stubs know fewer types of arrays than it does."""


def bands(n: int, lower: int, upper: int) -> Pattern:
    offsets = range(-lower, upper + 1)
    diagonals = [np.ones(n)] * len(offsets)
    return as_pattern(sp.diags_array(diagonals, offsets=offsets, shape=(n, n)).tocsr())


def stencil(n: int, *, corners: bool = False, periodic: bool = False) -> Pattern:
    """Return the neighbours on an `n` by `n` grid: five, or nine with corners."""
    line = sp.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(n, n)).tolil()
    if periodic:
        line[0, n - 1] = line[n - 1, 0] = 1
    same = sp.eye_array(n)
    near = (line + same).tocsr()
    five = sp.kron(line, same) + sp.kron(same, line) + sp.eye_array(n * n)
    return as_pattern((sp.kron(near, near) if corners else five).tocsr())


def arrowhead(n: int) -> Pattern:
    arrow = torch.eye(n, dtype=torch.bool)
    arrow[0], arrow[:, 0] = True, True
    return as_pattern(arrow)


def rosenbrock(n: int) -> Pattern:
    """Return the pattern of its residuals, two for each pair of neighbours."""
    first = sp.eye_array(n - 1, n, k=0)
    return as_pattern(sp.vstack([first + sp.eye_array(n - 1, n, k=1), first]).tocsr())


def lorenz(n: int) -> Pattern:
    k = torch.arange(n)
    columns = torch.stack([(k + shift) % n for shift in (-2, -1, 0, 1)])
    return Pattern((n, n), k.repeat(4), columns.flatten())


COLUMNS: dict[str, tuple[Pattern, int]] = {
    "diagonal": (bands(10, 0, 0), 1),
    "differences": (as_pattern(sp.eye_array(49, 50) + sp.eye_array(49, 50, k=1)), 2),
    "tridiagonal": (bands(50, 1, 1), 3),
    "Rosenbrock residuals": (rosenbrock(40), 2),
    "bands 3, 5": (bands(60, 3, 5), 9),
    "five-point 20": (stencil(20), 5),
    "five-point 25": (stencil(25), 5),
    "five-point 100": (stencil(100), 5),
    "five-point periodic 25": (stencil(25, periodic=True), 5),
    "nine-point 30": (stencil(30, corners=True), 9),
    "arrowhead": (arrowhead(30), 30),
    "Lorenz-96 of 40": (lorenz(40), 4),
    "triangle": (Pattern((3, 3), [0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 0, 2]), 3),
    "dense": (Pattern.dense((4, 7), origin="dense"), 7),
    "none": (Pattern((3, 4), [], []), 0),
    "no rows": (Pattern((0, 4), [], []), 0),
}
SYMMETRIC: dict[str, tuple[Pattern, int]] = {
    "tridiagonal": (bands(40, 1, 1), 3),
    "bands 5, 5": (bands(60, 5, 5), 11),
    "arrowhead": (arrowhead(30), 2),
    "diagonal": (bands(10, 0, 0), 1),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name: str) -> None:
    pattern, count = COLUMNS[name]
    assert pattern.column_coloring.count == count
    assert_readable(pattern, pattern.column_coloring)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric(name: str) -> None:
    pattern, count = SYMMETRIC[name]
    assert pattern.symmetric
    assert pattern.symmetric_coloring.count == count
    assert_readable(pattern, pattern.symmetric_coloring)


@pytest.mark.parametrize("cameras", [3, 12])
def test_bundle_adjustment_has_twelve_columns_whatever_its_size(cameras: int) -> None:
    points, observations = 20 * cameras, 100 * cameras
    generator = torch.Generator().manual_seed(0)
    camera = torch.randint(0, cameras, (observations,), generator=generator)
    point = torch.randint(0, points, (observations,), generator=generator)
    columns = torch.cat(
        [
            camera[:, None] * 9 + torch.arange(9),
            9 * cameras + point[:, None] * 3 + torch.arange(3),
        ],
        dim=1,
    )
    rows = torch.arange(2 * observations)[:, None].expand(-1, 12)
    shape = (2 * observations, 9 * cameras + 3 * points)
    both = columns.repeat_interleave(2, dim=0)
    pattern = Pattern(shape, rows.flatten(), both.flatten())
    assert pattern.column_coloring.count == 12


def test_a_million_columns_are_coloured() -> None:
    pattern = stencil(1000)
    assert pattern.nnz == 4_996_000
    assert pattern.column_coloring.count == 5


def assert_readable(pattern: Pattern, coloring: Coloring) -> None:
    """Compress a matrix by the colours and read it back."""
    m, n = pattern.shape
    matrix = torch.zeros(m, n, dtype=torch.float64)
    values = 1.0 + torch.arange(pattern.nnz, dtype=torch.float64)
    matrix[pattern.rows, pattern.columns] = values
    if pattern.symmetric:
        matrix = matrix + matrix.T
    seeds = torch.zeros(max(1, coloring.count), n, dtype=torch.float64)
    used = coloring.colors >= 0
    seeds[coloring.colors[used], used.nonzero().flatten()] = 1
    products = seeds @ matrix.T
    read = products[coloring.color, coloring.place]
    assert torch.equal(read, matrix[pattern.rows, pattern.columns])


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    m, n = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    seed, share = draw(st.integers(0, 999)), draw(st.floats(0, 1))
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(m, n, generator=generator) < share


@given(masks())
@settings(deadline=None)
def test_random_patterns_are_readable(mask: Tensor) -> None:
    pattern = as_pattern(mask)
    m, n = pattern.shape
    dense = torch.zeros(m, n, dtype=torch.bool)
    dense[pattern.rows, pattern.columns] = True
    assert torch.equal(dense, mask)
    coloring, by_row = pattern.column_coloring, pattern.row_coloring
    for colors, lines in ((coloring, mask), (by_row, mask.T)):
        assert colors.count >= (int(lines.sum(1).max()) if lines.numel() else 0)
        for line in lines:
            own = colors.colors[line]
            assert own.unique().numel() == own.numel()
    if m == n:
        whole = as_pattern(mask | mask.T)
        assert whole.symmetric_coloring.count <= whole.column_coloring.count
        assert_readable(whole, whole.symmetric_coloring)


@pytest.mark.parametrize("make", [stencil, lambda n: stencil(n, corners=True)])
def test_star_colourings_of_grids_are_not_larger(make: Callable[..., Any]) -> None:
    pattern = make(12)
    assert pattern.symmetric_coloring.count <= pattern.column_coloring.count
    assert_readable(pattern, pattern.symmetric_coloring)
