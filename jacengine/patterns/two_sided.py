"""Colourings of some rows and some columns, where one side alone takes many colours.

A full row has entries in all columns, which then all have different colours. The VJP of
that row alone shows its entries, and the columns need colours for the other rows only.
So the rows with most entries are coloured by rows, the others by columns; or the other
way round: those columns by columns, the others by rows. How many lines are taken apart
is tried. An arrowhead takes three colours, whatever its size.

Sources: A. Hossain, T. Steihaug, "Computing a sparse Jacobian matrix by rows and
columns", 1998; T. Coleman, A. Verma, "The efficient computation of sparse Jacobian
matrices using automatic differentiation", 1998,
https://doi.org/10.1137/S1064827595295349 .
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from jacengine.patterns.coloring import Coloring, color_columns

SPLITS = 32
"""Numbers of lines taken apart that are looked at."""
TRIED = 2
"""The most promising of those are coloured."""


@dataclass(frozen=True)
class TwoSidedColoring:
    """Colours of columns and of rows, which show each entry once between them.

    Attributes:
        columns: The colours of columns, and the entries that their JVPs show.
        rows: The colours of rows, and the entries that their VJPs show.
    """

    columns: Coloring
    rows: Coloring

    @property
    def count(self) -> int:
        """How many colours there are."""
        return self.columns.count + self.rows.count


def color_two_sided(
    shape: tuple[int, int], rows: Tensor, columns: Tensor, fewer_than: int
) -> TwoSidedColoring | None:
    """Colour some rows and some columns.

    Args:
        shape: Rows and columns of the matrix.
        rows: The row of each entry.
        columns: The column of each entry.
        fewer_than: The colours of one side alone.

    Returns:
        The colouring with fewest colours; `None` if it takes no fewer.
    """
    best: TwoSidedColoring | None = None
    m, n = shape
    for transposed in (False, True):
        size, turned = ((n, m), (m, n)) if transposed else ((m, n), (n, m))
        lines, others = (columns, rows) if transposed else (rows, columns)
        for least, apart in _splits(size, lines, others, fewer_than):
            if least >= (fewer_than if best is None else best.count):
                break
            dense = _colored(turned, others, lines, apart)
            rest = _colored(size, lines, others, ~apart)
            sides = (dense, rest) if transposed else (rest, dense)
            found = TwoSidedColoring(*sides)
            if found.count < (fewer_than if best is None else best.count):
                best = found
    return best


def _splits(
    shape: tuple[int, int], rows: Tensor, columns: Tensor, fewer_than: int
) -> Iterator[tuple[int, Tensor]]:
    """Take the rows with most entries apart, in several ways.

    Yields:
        The fewest colours that a split can take, and which entries are in those rows;
        the most promising splits first.
    """
    in_row = torch.bincount(rows, minlength=shape[0])
    degrees, how_many = in_row.unique(return_counts=True)
    above = (degrees * how_many).flip(0).cumsum(0).flip(0)[1:]
    chosen = np.linspace(0, len(above) - 1, min(SPLITS, len(above))).round()
    found: list[tuple[int, int]] = []
    for k in chosen.astype(int).tolist():
        # With the rows of more than `most` entries apart, columns take `most` colours,
        # and those rows as many as one column has entries in them: the mean at least.
        most, mean = int(degrees[k]), int(above[k]) / shape[1]
        if most > 0 and most + mean < fewer_than:
            in_column = torch.bincount(columns[in_row[rows] > most])
            found.append((most + int(in_column.max()), most))
    for least, most in sorted(found)[:TRIED]:
        yield least, in_row[rows] > most


def _colored(
    shape: tuple[int, int], rows: Tensor, columns: Tensor, which: Tensor
) -> Coloring:
    """Colour columns, so that the products show these entries."""
    entries = which.nonzero().flatten()
    coloring = color_columns(shape, rows[entries], columns[entries])
    return replace(coloring, entries=entries)
