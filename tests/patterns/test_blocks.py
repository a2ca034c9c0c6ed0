"""Block structure: against all sizes there are, on random patterns."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from jacengine.patterns.given import as_pattern
from jacengine.patterns.pattern import Pattern


def consists_of(mask: Tensor, r: int, c: int) -> bool:
    """Tell whether every aligned block is full or empty, by looking at each."""
    m, n = mask.shape
    if m % r or n % c:
        return False
    blocks = mask.unflatten(0, (-1, r)).unflatten(2, (-1, c))
    return bool((blocks.all(3).all(1) == blocks.any(3).any(1)).all())


SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(SIZES, SIZES, st.floats(0, 1), st.integers(0, 999))
def test_random_blocks(
    counts: tuple[int, int], block: tuple[int, int], share: float, seed: int
) -> None:
    (m, n), (r, c) = counts, block
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(m, n, generator=generator) < share
    mask = coarse.repeat_interleave(r, 0).repeat_interleave(c, 1)
    found = as_pattern(mask).blocks()
    sizes = [
        (i, j)
        for i in range(1, m * r + 1)
        for j in range(1, n * c + 1)
        if consists_of(mask, i, j)
    ]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    none = largest == (1, 1) or not bool(mask.any())
    assert found == (None if none else largest)


@pytest.mark.parametrize(
    ("shape", "entries", "expected"),
    [
        ((4, 4), [(0, 0), (1, 1), (2, 2), (3, 3)], None),
        ((2, 3), [(0, 0), (1, 0)], (2, 1)),
        ((3, 2), [(1, 0), (2, 0)], None),  # two rows alike, but not aligned
        ((4, 2), [(0, 0), (1, 0), (2, 1), (3, 1)], (2, 1)),
        ((4, 4), [(0, 0), (1, 0), (2, 2), (3, 3)], None),
        ((3, 3), [], None),
        ((0, 3), [], None),
    ],
)
def test_blocks(
    shape: tuple[int, int], entries: list[tuple[int, int]], expected: object
) -> None:
    rows, columns = ([entry[k] for entry in entries] for k in (0, 1))
    assert Pattern(shape, rows, columns).blocks() == expected


def test_they_are_in_the_picture() -> None:
    blocks = torch.eye(3, dtype=torch.bool).repeat_interleave(2, 0)
    assert "6 nonzeros (33.33%) in full blocks of 2 x 1, 1 col" in str(
        as_pattern(blocks)
    )
    assert "blocks" not in str(as_pattern(torch.eye(3, dtype=torch.bool)))
