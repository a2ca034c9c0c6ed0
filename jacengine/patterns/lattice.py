"""Closed-form colourings of stencils on a lattice.

The columns of a five-point stencil on a grid of width `w` have five colours,
`(i + 2 j) mod 5`, where first fit takes seven. Such a form `(a (c // w) + c mod w) mod
k` is tried for the widths that the offsets of a pattern suggest, and checked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

WIDTHS = 3
"""Distances of neighbours that are taken for a width."""
SAMPLE = 2**12
"""Entries on which a form is checked first."""
MOST = 32
"""Colours up to which forms are tried."""


def lattice_colors(
    shape: tuple[int, int], rows: Tensor, columns: Tensor, least: int, most: int
) -> Tensor | None:
    """Find a closed form with `least` to `most` colours.

    Returns:
        The colour of each column; `None` if there is no such form.
    """
    everywhere = torch.arange(shape[1], device="cpu")
    some = rows[:SAMPLE], columns[:SAMPLE]
    widths = list(_widths(rows, columns))
    for count, width in itertools.product(range(least, min(most, MOST) + 1), widths):
        for step in range(2, count):
            if _distinct(*some, width, step, count) and _distinct(
                rows, columns, width, step, count
            ):
                return _form(everywhere, width, step, count)
    return None


def _form(columns: Tensor, width: int, step: int, count: int) -> Tensor:
    return (step * (columns // width) + columns % width) % count


def _distinct(rows: Tensor, columns: Tensor, width: int, step: int, count: int) -> bool:
    """Tell whether the entries of each row have different colours."""
    key = rows * count + _form(columns, width, step, count)
    return int(torch.bincount(key).max()) == 1


def _widths(rows: Tensor, columns: Tensor) -> Iterator[int]:
    """List widths that the most frequent distances of neighbours in a row suggest."""
    gaps = (columns[1:] - columns[:-1])[rows[1:] == rows[:-1]]
    if not gaps.numel():
        return
    values, counts = gaps[:: max(1, gaps.numel() // 2**16)].unique(return_counts=True)
    order = counts.argsort(descending=True)[:WIDTHS]
    # In a five-point stencil neighbours are `w - 1` apart, or `w` at an edge.
    near = (int(values[k]) + extra for k in order for extra in (0, 1))
    yield from (width for width in dict.fromkeys(near) if width > 2)
