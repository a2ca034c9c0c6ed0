"""A sparsity pattern: where a matrix may be other than zero."""

from __future__ import annotations

import functools
import hashlib
import html
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from jacengine._files import replace_bytes
from jacengine.errors import ArgumentError
from jacengine.patterns.blocks import common_size
from jacengine.patterns.coloring import Coloring, color_columns, color_symmetric
from jacengine.patterns.picture import braille
from jacengine.patterns.two_sided import TwoSidedColoring, color_two_sided

if TYPE_CHECKING:
    from scipy import sparse

USER = "given by the user"
"""The origin of a pattern that a user gives."""
_ARRAYS = ("shape", "rows", "columns")


class Pattern:
    """The entries of a matrix that may be other than zero, sorted by row.

    Attributes:
        shape: Rows and columns of the matrix: outputs and inputs, each flattened; with
            independent samples, those of one sample.
        rows: The row of each entry, int64 on the CPU.
        columns: The column of each entry, likewise.
        origin: How and where it was found, in words.
    """

    def __init__(
        self, shape: tuple[int, int], rows: Any, columns: Any, *, origin: str = USER
    ) -> None:
        """Hold these entries, in any order.

        Raises:
            ArgumentError: An entry is outside of the matrix or comes twice, or there
                are not as many rows as columns.
        """
        m, n = (int(size) for size in shape)
        row, column = as_indices(rows, "rows"), as_indices(columns, "columns")
        if row.shape != column.shape:
            raise ArgumentError(
                f"A pattern needs a row and a column for each entry, got {row.numel()} "
                f"rows and {column.numel()} columns."
            )
        for name, index, size in (("row", row, m), ("column", column, n)):
            wrong = index[(index < 0) | (index >= size)]
            if wrong.numel():
                raise ArgumentError(
                    f"A pattern of shape {(m, n)} has no {name} {int(wrong[0])}."
                )
        flat = row * n + column
        if bool((flat[1:] <= flat[:-1]).any()):
            flat = flat.sort().values
            twice = flat[1:][flat[1:] == flat[:-1]]
            if twice.numel():
                place = divmod(int(twice[0]), n)
                raise ArgumentError(f"A pattern has the entry {place} twice.")
            row, column = flat // max(1, n), flat % max(1, n)
        self.shape = (m, n)
        self.rows, self.columns = row, column
        self.origin = origin

    @property
    def nnz(self) -> int:
        """The number of entries that may be other than zero."""
        return self.rows.numel()

    @functools.cached_property
    def column_coloring(self) -> Coloring:
        """Colours of the columns, for JVPs."""
        return color_columns(self.shape, self.rows, self.columns)

    @functools.cached_property
    def row_coloring(self) -> Coloring:
        """Colours of the rows, for VJPs."""
        m, n = self.shape
        return color_columns((n, m), self.columns, self.rows)

    @functools.cached_property
    def symmetric_coloring(self) -> Coloring:
        """Colours of a symmetric matrix, for either."""
        return color_symmetric(self.shape[0], self.rows, self.columns)

    @functools.cached_property
    def two_sided_coloring(self) -> TwoSidedColoring | None:
        """Colours of some columns and some rows; `None` if those are no fewer."""
        fewest = min(self.column_coloring.count, self.row_coloring.count)
        return color_two_sided(self.shape, self.rows, self.columns, fewest)

    @property
    def colors(self) -> int:
        """Directions that the matrix takes: colours of columns, of rows or of both."""
        both = self.two_sided_coloring
        if both is not None:
            return both.count
        return min(self.column_coloring.count, self.row_coloring.count)

    @functools.cached_property
    def row_starts(self) -> Tensor:
        """The number of entries before each row, and of all: `crow` of a CSR matrix."""
        counts = torch.bincount(self.rows, minlength=self.shape[0])
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @functools.cached_property
    def symmetric(self) -> bool:
        """Whether it is its own transpose."""
        return self.shape[0] == self.shape[1] and self == self.transposed()

    @functools.cached_property
    def digest(self) -> str:
        """A hash of the shape and the entries."""
        content = hashlib.sha256(repr(self.shape).encode())
        content.update(self.rows.numpy().tobytes())
        content.update(self.columns.numpy().tobytes())
        return content.hexdigest()[:32]

    @functools.cached_property
    def lower_triangle(self) -> Pattern:
        """The entries on and below the diagonal."""
        lower = (self.rows >= self.columns).nonzero().flatten()
        rows, columns = self.rows[lower], self.columns[lower]
        return Pattern(self.shape, rows, columns, origin=self.origin)

    def blocks(self) -> tuple[int, int] | None:
        """Return the largest `(r, c)` such that it consists of full blocks of that.

        Blocks begin at multiples of `r` and `c`, as those of a BSR matrix do.

        Returns:
            The size; `None` if there is no larger one than 1 x 1, or no entry.
        """
        if not self.nnz:
            return None
        transposed = self.transposed()
        sizes = (
            common_size(self.row_starts, self.columns),
            common_size(transposed.row_starts, transposed.columns),
        )
        return None if sizes == (1, 1) else sizes

    def numbers_of(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return which entries of the pattern these are, all of which it has."""
        own, n = self.rows * self.shape[1] + self.columns, self.shape[1]
        return torch.searchsorted(own, rows * n + columns)

    def transposed(self) -> Pattern:
        """Return the pattern of the transpose."""
        m, n = self.shape
        return Pattern((n, m), self.columns, self.rows, origin=self.origin)

    def union(self, other: Pattern) -> Pattern:
        """Return the entries of either; with the origin of this one."""
        flat = torch.cat([p.rows * p.shape[1] + p.columns for p in (self, other)])
        flat, n = flat.unique(), max(1, self.shape[1])
        return Pattern(self.shape, flat // n, flat % n, origin=self.origin)

    def to_scipy(self) -> sparse.csr_array[Any]:
        """Return it as a SciPy CSR array of ones."""
        from scipy import sparse  # noqa: PLC0415 - a part of a second to import

        ones = np.ones(self.nnz, dtype=bool)
        starts, columns = self.row_starts.numpy(), self.columns.numpy()
        return sparse.csr_array((ones, columns, starts), shape=self.shape)

    def to_tensor(self, most: int | None = None) -> Tensor:
        """Return it as a dense tensor of ones and zeros, float32.

        Args:
            most: Rows and columns at most: those of a larger one stand for several.
        """
        m, n = self.shape
        down, across = (size if most is None else min(size, most) for size in (m, n))
        ones = torch.zeros(down, across, dtype=torch.float32, device="cpu")
        rows, columns = (
            self.rows * down // max(1, m),
            self.columns * across // max(1, n),
        )
        ones[rows, columns] = 1
        return ones

    def save(self, path: str | Path) -> None:
        """Write it to a NumPy archive (`.npz`), replacing what is there at once."""

        def write(file: Any) -> None:
            np.savez_compressed(
                file,
                shape=np.array(self.shape),
                rows=self.rows.numpy(),
                columns=self.columns.numpy(),
                origin=np.array(self.origin),
            )

        replace_bytes(Path(path), write)

    @classmethod
    def load(cls, path: str | Path) -> Pattern:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            ArgumentError: It is no such file.
            OSError: It cannot be read.
        """
        try:
            with (
                Path(path).open("rb") as file,
                np.load(file, allow_pickle=False) as archive,
            ):
                shape, rows, columns = (archive[name] for name in _ARRAYS)
                origin = str(archive["origin"])
                m, n = (int(size) for size in shape)
            return cls((m, n), rows, columns, origin=origin)
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ArgumentError(f"{path} holds no pattern: {error}") from error

    @classmethod
    def dense(cls, shape: tuple[int, int], *, origin: str) -> Pattern:
        """Return the pattern of a matrix without zeros."""
        m, n = shape
        rows = torch.arange(m, device="cpu").repeat_interleave(n)
        columns = torch.arange(n, device="cpu").repeat(m)
        return cls(shape, rows, columns, origin=origin)

    def __eq__(self, other: object) -> bool:
        """Compare shapes and entries, not origins."""
        if not isinstance(other, Pattern):
            return NotImplemented
        same = self.shape == other.shape and self.nnz == other.nnz
        return (
            same
            and torch.equal(self.rows, other.rows)
            and torch.equal(self.columns, other.columns)
        )

    def __hash__(self) -> int:
        """Hash the entries."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Name it; the same for equal patterns."""
        return f"Pattern(shape={self.shape}, nnz={self.nnz}, digest={self.digest!r})"

    def _repr_html_(self) -> str:
        """Draw it in a notebook."""
        return f'<pre style="line-height: 1">{html.escape(str(self))}</pre>'

    def __str__(self) -> str:
        """Draw it, with what it saves."""
        m, n = self.shape
        share = self.nnz / max(1, m * n)
        blocks = self.blocks()
        full = "" if blocks is None else f" in full blocks of {blocks[0]} x {blocks[1]}"
        return (
            f"Pattern of {m:,} x {n:,}, {self.nnz:,} nonzeros ({share:.2%}){full}, "
            f"{self.colors:,} colours, {self.origin}\n"
            f"{braille(self.shape, self.rows, self.columns)}"
        )


def as_indices(given: Any, name: str) -> Tensor:
    """Read indices, as int64 on the CPU.

    Raises:
        ArgumentError: They are no 1-D array of whole numbers.
    """
    index = torch.as_tensor(given, device="cpu").detach()
    if not index.numel():
        index = index.to(torch.int64)
    whole = not (index.is_floating_point() or index.is_complex())
    if index.dim() != 1 or not whole or index.dtype == torch.bool:
        raise ArgumentError(
            f"The {name} of a pattern are a 1-D array of indices, got "
            f"{index.dtype} of shape {tuple(index.shape)}."
        )
    return index.to("cpu", torch.int64)
