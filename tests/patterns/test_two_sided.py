"""Colours of rows and columns together: known counts, and every entry is readable."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern


def arrowhead(n: int) -> Pattern:
    arrow = torch.eye(n, dtype=torch.bool)
    arrow[0], arrow[:, 0] = True, True
    return as_pattern(arrow)


def frame(m: int, n: int) -> Pattern:
    mask = torch.zeros(m, n, dtype=torch.bool)
    mask[0], mask[-1], mask[:, 0], mask[:, -1] = True, True, True, True
    return as_pattern(mask)


def comb(teeth: int, width: int) -> Pattern:
    """Have a full column, and a block of columns for each row: no row stands out."""
    blocks = torch.eye(teeth, dtype=torch.bool).repeat_interleave(width, dim=1)
    return as_pattern(torch.cat([torch.ones(teeth, 1, dtype=torch.bool), blocks], 1))


COUNTS: dict[str, tuple[Pattern, int, int | None]] = {
    "arrowhead of 4": (arrowhead(4), 3, 3),
    "arrowhead of 30": (arrowhead(30), 3, 3),
    "arrowhead of 500": (arrowhead(500), 3, 3),
    "frame": (frame(10, 20), 4, 4),
    "tall frame": (frame(20, 10), 4, 4),
    "comb": (comb(6, 5), 2, 2),
    "antidiagonal": (as_pattern(torch.eye(4, dtype=torch.bool).flip(0)), 1, None),
    "cyclic triangle": (
        Pattern((3, 3), [0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 0, 2]),
        3,
        None,
    ),
    "dense": (Pattern.dense((4, 7), origin="dense"), 4, None),
    "full rows alone": (as_pattern(torch.ones(2, 9, dtype=torch.bool)), 2, None),
    "none": (Pattern((3, 4), [], []), 0, None),
    "no rows": (Pattern((0, 4), [], []), 0, None),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    pattern, count, both = COUNTS[name]
    assert pattern.colors == count
    found = pattern.two_sided_coloring
    assert (None if found is None else found.count) == both
    assert_readable(pattern)
    assert pattern.transposed().colors == count


def test_an_arrowhead_takes_one_row_and_two_columns() -> None:
    found = arrowhead(30).two_sided_coloring
    assert found is not None
    assert (found.rows.count, found.columns.count) == (1, 2)
    assert found.rows.colors.tolist() == [0] + 29 * [-1]


def test_a_large_arrowhead() -> None:
    n = 100_000
    k, zero = torch.arange(n), torch.zeros(n - 1, dtype=torch.int64)
    rows, columns = torch.cat([k, zero, k[1:]]), torch.cat([k, k[1:], zero])
    pattern = Pattern((n, n), rows, columns)
    assert pattern.column_coloring.count == n
    assert pattern.colors == 3


def assert_readable(pattern: Pattern) -> None:
    """Compress a matrix from both sides and read it back."""
    found = pattern.two_sided_coloring
    if found is None:
        return
    matrix = torch.zeros(pattern.shape, dtype=torch.float64)
    values = 1.0 + torch.arange(pattern.nnz, dtype=torch.float64)
    matrix[pattern.rows, pattern.columns] = values
    read = torch.zeros_like(values)
    for coloring, seen in ((found.columns, matrix), (found.rows, matrix.T)):
        seeds = torch.zeros(max(1, coloring.count), seen.shape[1], dtype=torch.float64)
        used = coloring.colors >= 0
        seeds[coloring.colors[used], used.nonzero().flatten()] = 1
        assert coloring.entries is not None
        # Each entry comes from one side alone: twice would not be its value.
        read[coloring.entries] += (seeds @ seen.T)[coloring.color, coloring.place]
    assert torch.equal(read, values)


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 999), st.data())
@settings(deadline=None)
def test_random_patterns(m: int, n: int, seed: int, data: st.DataObject) -> None:
    share = data.draw(st.floats(0, 0.5))
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(m, n, generator=generator) < share
    mask[: data.draw(st.integers(0, 2))] = True
    mask[:, : data.draw(st.integers(0, 2))] = True
    pattern = as_pattern(mask)
    one_side = min(pattern.column_coloring.count, pattern.row_coloring.count)
    assert pattern.colors <= one_side
    assert_readable(pattern)
