"""Where products go: the Jacobian while it is filled, and how it nests at the end.

Every pair of an output and an input has a block of J, seen here as `(S, R, N)`: samples,
output entries, input entries. Rows come from pullbacks, columns from pushforwards. J is
allocated once and written in place; a product that *is* its block is taken over as it
is, without a copy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine import trees
from jacengine._torchfunc import Tensors
from jacengine.errors import ArgumentError, StrategyError
from jacengine.layout import Leaf
from jacengine.problem import Problem

Key = tuple[int, int]
Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Group:
    """A run of rows or columns that belong to one tensor of the result."""

    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """The number of rows or columns."""
        return math.prod(self.shape)


def _groups(leaves: Sequence[Leaf], chosen: Tensor | None) -> tuple[Group, ...]:
    if chosen is not None:
        return (Group((chosen.numel(),), 0),)
    starts = [sum(leaf.size for leaf in leaves[:i]) for i in range(len(leaves))]
    return tuple(Group(q.shape, s) for q, s in zip(leaves, starts, strict=True))


class Assembly:
    """The result while it is filled."""

    def __init__(
        self,
        problem: Problem,
        *,
        joint: bool = False,
        out: Any = None,
        keep: Tensors = (),
    ) -> None:
        """Begin a result.

        Args:
            problem: What is computed.
            joint: Rows come for `(sample, entry)` pairs instead of for entries.
            out: Preallocated result to write into, of the result's structure.
            keep: Tensors whose memory must not become the result's.
        """
        self._problem = problem
        self._joint = joint
        self._rows = _groups(problem.outputs, problem.rows)
        self._columns = _groups(problem.inputs, problem.columns)
        self._given = {} if out is None else self._open(out)
        self._blocks: dict[Key, Tensor] = {}
        self._pieces: dict[Key, list[tuple[Region, Tensor]]] = {}
        self._taken = {t.untyped_storage().data_ptr() for t in keep}

    def put_rows(self, samples: slice, block: slice, products: Tensors) -> None:
        """Place the products of a pullback.

        Args:
            samples: The samples they are of.
            block: The rows they are of, among all directions.
            products: One an input, `(K, *in)` or `(K, S, *in)`.
        """
        inputs, columns = self._problem.inputs, self._problem.columns
        flat = self._flatten(products, inputs, columns, samples)
        for row, inner, local in self._overlaps(self._rows, block, joint=self._joint):
            for column, part in enumerate(flat):
                region = (self._samples(samples), local, slice(None))
                self._put((row, column), region, part[inner].transpose(0, 1))

    def put_columns(self, samples: slice, block: slice, products: Tensors) -> None:
        """Place the products of a pushforward, one an output, `(K, S, *out)`."""
        outputs, rows = self._problem.outputs, self._problem.rows
        flat = self._flatten(products, outputs, rows, samples)
        for column, inner, local in self._overlaps(self._columns, block, joint=False):
            for row, part in enumerate(flat):
                region = (self._samples(samples), slice(None), local)
                self._put((row, column), region, part[inner].permute(1, 2, 0))

    def rows_view(self, samples: slice, block: slice) -> Tensors | None:
        """Return where the rows of a block go, for a strategy that writes itself.

        Returns:
            One view an input, `(K, *in)` or `(K, S, *in)`, or `None` if products have
            to be placed by `put_rows`.
        """
        found = list(self._overlaps(self._rows, block, joint=self._joint))
        if (
            self._problem.columns is not None
            or self._problem.options.create_graph
            or len(found) != 1
        ):
            return None
        row, _, local = found[0]
        views: list[Tensor] = []
        for column, leaf in enumerate(self._problem.inputs):
            view = self._block((row, column))[self._samples(samples), local]
            view = view.transpose(0, 1).unflatten(2, leaf.shape or (1,))
            view = view if leaf.shape else view.squeeze(2)
            sampled = self._problem.batch_size is not None and not self._joint
            views.append(view if sampled else view[:, 0])
        return tuple(views)

    def finish(self) -> list[list[Tensor]]:
        """Return the blocks, outputs by inputs, in their final shapes."""
        return [
            [
                self._closed((row, column)).view(self._shape(row, column))
                for column in range(len(self._columns))
            ]
            for row in range(len(self._rows))
        ]

    def _samples(self, samples: slice) -> slice:
        return slice(None) if self._joint else samples

    def _shape(self, row: int, column: int) -> tuple[int, ...]:
        size = self._problem.batch_size
        samples = () if size is None else (size,)
        return (*samples, *self._rows[row].shape, *self._columns[column].shape)

    def _extent(self, key: Key) -> tuple[int, int, int]:
        """The block's (S, R, N)."""
        samples = self._problem.batch_size if self._problem.batch_size is not None else 1
        rows, columns = self._rows[key[0]].size, self._columns[key[1]].size
        return (1, samples * rows, columns) if self._joint else (samples, rows, columns)

    def _overlaps(
        self, groups: tuple[Group, ...], block: slice, *, joint: bool
    ) -> Iterator[tuple[int, slice, slice]]:
        """Yield each group in a block: its number, where in the block, where in it."""
        times = self._problem.sample_count if joint else 1
        for number, group in enumerate(groups):
            start, size = group.start * times, group.size * times
            first, last = max(block.start, start), min(block.stop, start + size)
            if first < last:
                inner = slice(first - block.start, last - block.start)
                yield number, inner, slice(first - start, last - start)

    def _flatten(
        self,
        products: Tensors,
        leaves: Sequence[Leaf],
        chosen: Tensor | None,
        samples: slice,
    ) -> list[Tensor]:
        """Flatten products to `(K, S, entries)`, one a group of the result."""
        count = 1 if self._joint else samples.stop - samples.start
        flat = [
            product.reshape(product.shape[0], count, leaf.size)
            for product, leaf in zip(products, leaves, strict=True)
        ]
        if chosen is None:
            return flat
        together = flat[0] if len(flat) == 1 else torch.cat(flat, dim=2)
        return [together[..., chosen.to(together.device)]]

    def _put(self, key: Key, region: Region, piece: Tensor) -> None:
        if self._problem.options.create_graph:
            self._pieces.setdefault(key, []).append((region, piece))
        elif not self._adopt(key, piece):
            with torch.no_grad():
                self._block(key)[region].copy_(piece)

    def _adopt(self, key: Key, piece: Tensor) -> bool:
        """Take a product over as the block, where it is all of it and nobody else's."""
        storage = piece.untyped_storage()
        fits = (
            key not in self._given
            and key not in self._blocks
            and piece.shape == self._extent(key)
            and piece.is_contiguous()
            and piece.dtype == self._dtype(key)
            and piece.device == self._problem.outputs[0].device
            and storage.nbytes() == piece.numel() * piece.element_size()
            and storage.data_ptr() not in self._taken
        )
        if fits:
            self._blocks[key] = piece.detach()
            self._taken.add(storage.data_ptr())
        return fits

    def _block(self, key: Key) -> Tensor:
        if key in self._given:
            return self._given[key]
        if key not in self._blocks:
            device = self._problem.outputs[0].device
            if self._problem.rows is None:
                device = self._problem.outputs[key[0]].device
            self._blocks[key] = torch.empty(
                self._extent(key), dtype=self._dtype(key), device=device
            )
        return self._blocks[key]

    def _dtype(self, key: Key) -> torch.dtype:
        if self._problem.rows is None:
            return self._problem.outputs[key[0]].dtype
        return functools.reduce(
            torch.promote_types, (leaf.dtype for leaf in self._problem.outputs)
        )

    def _closed(self, key: Key) -> Tensor:
        """Return a finished block; with a graph, put together from its pieces."""
        if key not in self._pieces:
            return self._block(key)
        pieces = self._pieces[key]
        axis = 1 if pieces[0][0][2] == slice(None) else 2
        by_samples: dict[tuple[Any, Any], list[Tensor]] = {}
        for (samples, _, _), piece in pieces:
            by_samples.setdefault((samples.start, samples.stop), []).append(piece)
        joined = [torch.cat(parts, dim=axis) for parts in by_samples.values()]
        return torch.cat(joined, dim=0).to(self._dtype(key)).contiguous()

    def _open(self, out: Any) -> dict[Key, Tensor]:
        """Check a preallocated result and view its tensors as blocks.

        Raises:
            ArgumentError: It is not of the result's structure, shapes or dtype.
        """
        if self._problem.options.create_graph:
            raise ArgumentError(
                "out= is written in place, which create_graph=True cannot record. Use "
                "one or the other."
            )
        keys = [
            [(r, c) for c in range(len(self._columns))] for r in range(len(self._rows))
        ]
        expected, structure = trees.flatten(nest(self._problem, keys, leaf=_Key))
        given, got = trees.flatten(out)
        if got.spec != structure.spec:
            raise ArgumentError(
                f"out= nests as {got.spec}, but the result nests as {structure.spec}."
            )
        found: dict[Key, Tensor] = {}
        for place, tensor in zip(expected, given, strict=True):
            if place is None:
                continue
            key = place.key
            shape, dtype = self._shape(*key), self._dtype(key)
            if not isinstance(tensor, Tensor):
                raise ArgumentError(f"out= holds a {type(tensor).__name__}, not a tensor.")
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise ArgumentError(
                    f"out= has shape {tuple(tensor.shape)} and {tensor.dtype}, but the "
                    f"result has shape {shape} and {dtype}."
                )
            if not tensor.is_contiguous():
                raise ArgumentError(
                    f"out= of shape {shape} is not contiguous; pass a contiguous tensor."
                )
            found[key] = tensor.detach().view(self._extent(key))
        return found


class _Key:
    """A place in the result; a class that no tree flattening looks into."""

    def __init__(self, key: Key) -> None:
        self.key = key


def nest(problem: Problem, grid: Sequence[Sequence[Any]], *, leaf: Any = None) -> Any:
    """Nest a grid of blocks (outputs by inputs) as `torch.func.jacrev` does.

    Chosen rows or columns take the place of the whole tree on their side.
    """
    wrap = (lambda value: value) if leaf is None else leaf
    lines: list[Any] = []
    for line in grid:
        cells = [wrap(cell) for cell in line]
        if problem.columns is not None:
            lines.append(cells[0])
        else:
            places = [None if p is None else cells[p] for p in problem.layout.places]
            lines.append(problem.layout.nesting.unflatten(places))
    if problem.rows is not None:
        return lines[0]
    return problem.output_structure.unflatten(lines)


def check_products(products: object, expected: Sequence[tuple[int, ...]]) -> None:
    """Hold a strategy to its contract.

    Raises:
        StrategyError: It returned something other than products of these shapes.
    """
    got = (
        [tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__ for p in products]
        if isinstance(products, tuple)
        else type(products).__name__
    )
    if got != list(expected):
        raise StrategyError(
            f"The strategy returned products of shape {got}; expected {list(expected)}."
        )
