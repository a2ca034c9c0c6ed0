"""Colourings: which columns (or rows) of a sparse matrix share a direction.

Columns without a common row are told apart in the product with the sum of their unit
vectors, so they may have one colour. The same holds for rows and VJPs. An entry of a
symmetric matrix has to be readable in one of its two places only, so fewer colours do:
those of a star colouring.

Sources: A. Curtis, M. Powell, J. Reid, "On the estimation of sparse Jacobian matrices",
1974; A. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian?", 2005,
https://doi.org/10.1137/S0036144504444711 .
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jacengine.patterns.lattice import lattice_colors
from jacengine.patterns.star import star_colors

STAR_WORK = 2**21
"""Pairs of neighbours up to which a star colouring is sought: a second or two."""
ORDERED_WORK = 2**23
"""Pairs of entries in one row up to which columns are coloured in two orders."""


@dataclass(frozen=True)
class Coloring:
    """Colours, and where the products with their seeds show each entry.

    Attributes:
        colors: The colour of each column (or row), -1 where that needs none.
        count: How many colours there are.
        color: The colour whose product shows each entry of the pattern.
        place: Which row (or column) of that product shows it.
        direct: Whether each entry is alone in its own place: not in a mirrored one.
        entries: Which entries of the pattern the products show; `None`: all.
    """

    colors: Tensor
    count: int
    color: Tensor
    place: Tensor
    direct: bool = True
    entries: Tensor | None = None

    def of(self, entries: Tensor) -> Coloring:
        """Return the same colours, of some entries alone."""
        color, place = self.color[entries], self.place[entries]
        return replace(self, color=color, place=place)


def color_columns(shape: tuple[int, int], rows: Tensor, columns: Tensor) -> Coloring:
    """Colour columns, so that no two of one colour have a common row."""
    colors = _column_colors(shape, rows, columns)
    count = int(colors.max()) + 1 if rows.numel() else 0
    return Coloring(colors, count, colors[columns], rows)


def color_symmetric(size: int, rows: Tensor, columns: Tensor) -> Coloring:
    """Colour a symmetric matrix, so that each entry or its mirror image is readable."""
    best = color_columns((size, size), rows, columns)
    degrees = torch.bincount(rows, minlength=size)
    if best.count > 3 and int(degrees[columns].sum()) <= STAR_WORK:
        colors = star_colors(size, rows, columns)
        count = int(colors.max()) + 1
        if count < best.count:
            return _readable(colors, count, rows, columns)
    return best


def _readable(colors: Tensor, count: int, rows: Tensor, columns: Tensor) -> Coloring:
    """Find where each entry is alone in a product: in its own place, or its mirror's.

    Raises:
        RuntimeError: It is in neither: this is no star colouring.
    """
    seen = torch.bincount(
        rows * count + colors[columns], minlength=colors.numel() * count
    )
    own = seen[rows * count + colors[columns]] == 1
    mirrored = seen[columns * count + colors[rows]] == 1
    if not bool((own | mirrored).all()):
        raise RuntimeError("no star colouring: an entry is not readable")
    color = torch.where(own, colors[columns], colors[rows])
    place = torch.where(own, rows, columns)
    return Coloring(colors, count, color, place, direct=bool(own.all()))


def _column_colors(shape: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Colour by first fit in the natural order, and better where that is known."""
    m, n = shape
    used = torch.zeros(n, dtype=torch.bool, device="cpu")
    used[columns] = True
    if not rows.numel():
        return torch.full((n,), -1, dtype=torch.int64, device="cpu")
    in_row = torch.bincount(rows, minlength=m)
    least = int(in_row.max())
    if least == int(used.sum()):  # a full row: all columns differ
        return torch.where(used, used.cumsum(0) - 1, -1)
    colors = _first_fit(shape, rows, columns, np.arange(n))
    if int(colors.max()) + 1 > least:
        found = lattice_colors(shape, rows, columns, least, int(colors.max()))
        if found is not None:
            colors = found
        elif int(in_row[rows].sum()) <= ORDERED_WORK:
            degree = torch.zeros(n, dtype=torch.int64, device="cpu")
            degree.index_add_(0, columns, in_row[rows])
            largest_first = degree.argsort(descending=True, stable=True).numpy()
            other = _first_fit(shape, rows, columns, largest_first)
            colors = min(colors, other, key=lambda found: int(found.max()))
    # Numbered without gaps; columns without entries need no direction.
    present = torch.bincount(colors[used]) > 0
    return torch.where(used, (present.cumsum(0) - 1)[colors], -1)


def _first_fit(
    shape: tuple[int, int], rows: Tensor, columns: Tensor, order: Any
) -> Tensor:
    """Give each column, in this order, the first colour that none of its rows has."""
    from scipy import optimize, sparse  # noqa: PLC0415 - a part of a second to import

    entries = (rows.numpy(), columns.numpy())
    matrix = sparse.csc_array((np.ones(rows.numel(), dtype=bool), entries), shape=shape)
    group_columns: Any = optimize._numdiff.group_columns  # type: ignore[attr-defined]
    return torch.from_numpy(group_columns(matrix, order=order).astype(np.int64))
