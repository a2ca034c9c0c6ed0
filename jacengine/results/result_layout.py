"""The layout of a result: its blocks, their shapes, and how they nest.

Every pair of an output and an input has a block of J. All of this follows from the
problem alone and is computed once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError, kind_of, to_tensor_advice
from jacengine.patterns.pattern import Pattern
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem

Key = tuple[int, int]
"""A block: the number of its group of rows, and of its group of columns."""


@dataclass(frozen=True)
class Group:
    """A run of rows or columns that belong to one tensor of the result."""

    shape: tuple[int, ...]
    start: int
    size: int

    def overlap(self, block: slice, times: int) -> tuple[slice, slice] | None:
        """Return where a block of directions and the group meet.

        Args:
            block: The directions.
            times: How many directions each entry of the group has.

        Returns:
            Where in the block, and where in the group; `None` if they do not meet.
        """
        start, size = self.start * times, self.size * times
        first, last = max(block.start, start), min(block.stop, start + size)
        if first >= last:
            return None
        inner = slice(first - block.start, last - block.start)
        return inner, slice(first - start, last - start)


@dataclass(frozen=True)
class Block:
    """The description of one block of J.

    Attributes:
        extent: Its size as samples, rows, columns.
        shape: Its shape in the result.
        dtype: Its dtype.
        device: Its device.
    """

    extent: tuple[int, int, int]
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class ResultLayout:
    """The blocks of a problem's Jacobian.

    Attributes:
        problem: What the result is of.
        coupled: Whether rows are `(sample, entry)` pairs instead of entries.
        rows: The groups of rows.
        columns: The groups of columns.
        blocks: The description of each block.
        times: How many directions each row has: the samples, if `coupled`.
    """

    def __init__(self, problem: Problem, *, coupled: bool = False) -> None:
        """Lay the result of a problem out."""
        self.problem = problem
        self.coupled = coupled
        if problem.part == "whole":
            self._row_specs = problem.outputs
            self.rows = _groups(problem.outputs, problem.rows)
        else:
            self._row_specs = problem.values
            self.rows = _groups(problem.values, None)
        if problem.part == "trace":
            self.columns: tuple[Group, ...] = (Group((), 0, 1),)
        elif problem.joined:
            self.columns = (_run(problem.column_count),)
        else:
            self.columns = _groups(problem.inputs, None)
        self.times = problem.sample_count if coupled else 1
        self.blocks = {
            (r, c): self._block(r, c)
            for r in range(len(self.rows))
            for c in range(len(self.columns))
        }

    def _block(self, row: int, column: int) -> Block:
        outputs, size = self._row_specs, self.problem.batch_size
        rows, columns = self.rows[row], self.columns[column]
        samples = 1 if self.coupled else self.problem.sample_count
        whole = () if size is None else (size,)
        dtype = outputs[row].dtype
        if self.problem.rows is not None and self.problem.part == "whole":
            dtypes = (spec.dtype for spec in outputs)
            dtype = functools.reduce(torch.promote_types, dtypes)
        return Block(
            (samples, rows.size * self.times, columns.size),
            (*whole, *rows.shape, *columns.shape),
            dtype,
            outputs[row].device,
        )

    @functools.cached_property
    def dtype(self) -> torch.dtype:
        """The dtype of all blocks together."""
        dtypes = (block.dtype for block in self.blocks.values())
        return functools.reduce(torch.promote_types, dtypes)

    @property
    def pattern(self) -> Pattern:
        """The entries that a sparse result of the problem holds.

        Raises:
            ValueError: It has no pattern.
        """
        pattern = self.problem.stored_pattern
        if pattern is None:
            raise ValueError("there is no pattern")
        return pattern

    @functools.cached_property
    def coo_indices(self) -> Tensor:
        """The indices of a COO tensor: `(2, nnz)`, per sample `(3, B nnz)`."""
        pattern, batch = self.pattern, self.problem.batch_size
        indices = torch.stack([pattern.rows, pattern.columns])
        if batch is not None:
            sample = torch.arange(batch, device="cpu").repeat_interleave(pattern.nnz)
            indices = torch.cat([sample.unsqueeze(0), indices.repeat(1, batch)])
        return indices.to(self.problem.outputs[0].device)

    @functools.cached_property
    def csr_indices(self) -> tuple[Tensor, Tensor]:
        """The row starts and columns of a CSR tensor, those of each sample."""
        device = self.problem.outputs[0].device
        pattern, batch = self.pattern, self.problem.batch_size
        starts, columns = pattern.row_starts, pattern.columns
        if batch is not None:
            starts, columns = starts.expand(batch, -1), columns.expand(batch, -1)
        return starts.contiguous().to(device), columns.contiguous().to(device)

    @functools.cached_property
    def _nested(self) -> tuple[list[_Key | None], pytrees.Structure]:
        """The block at each leaf of the nested result; `None` where there is none."""
        keys = [
            [(r, c) for c in range(len(self.columns))] for r in range(len(self.rows))
        ]
        return pytrees.flatten(nest(self.problem, keys, leaf=_Key))

    def blocks_of(self, out: Any) -> dict[Key, Tensor]:
        """Check a preallocated result, and find the blocks in it.

        Raises:
            ArgumentError: It is not of the result's structure, shapes or dtype.
        """
        if self.problem.options.create_graph:
            raise ArgumentError(
                "out= is written in place, which create_graph=True cannot record. Use "
                "one or the other."
            )
        expected, structure = self._nested
        tensors, got = pytrees.flatten(out)
        if got.spec != structure.spec:
            raise ArgumentError(
                f"out= nests as {got.spec}, but the result nests as {structure.spec}."
            )
        found: dict[Key, Tensor] = {}
        for place, tensor in zip(expected, tensors, strict=True):
            if place is not None:
                _require_fitting(tensor, self.blocks[place.key])
                found[place.key] = tensor.detach()
        return found

    def blocks_in(self, nested: Any) -> dict[Key, Tensor]:
        """Find the blocks in a nested result."""
        places, _ = self._nested
        pairs = zip(places, pytrees.flatten(nested)[0], strict=True)
        return {place.key: leaf for place, leaf in pairs if place is not None}

    def extents_of(self, out: Any) -> dict[Key, Tensor]:
        """View the blocks of a preallocated result as samples, rows, columns."""
        return {
            key: tensor.view(self.blocks[key].extent)
            for key, tensor in self.blocks_of(out).items()
        }

    def locate(
        self, rows: Tensor, columns: Tensor
    ) -> Iterator[tuple[Key, Tensor, Tensor, Tensor]]:
        """Find entries of J, which are counted over all blocks, in the blocks.

        Args:
            rows: The row of each entry, `(E,)`.
            columns: The column of each entry, `(E,)`.

        Yields:
            A block's key; which of the entries are in it; their rows and columns there.
        """
        for key in self.blocks:
            row, column = self.rows[key[0]], self.columns[key[1]]
            below = (rows >= row.start) & (rows < row.start + row.size)
            beside = (columns >= column.start) & (columns < column.start + column.size)
            inside = (below & beside).nonzero().flatten()
            if inside.numel():
                local = rows[inside] - row.start, columns[inside] - column.start
                yield key, inside, *local


def _require_fitting(tensor: Any, block: Block) -> None:
    """Hold a tensor of `out=` to the block that it is for.

    Raises:
        ArgumentError: It is something else.
    """
    shape, dtype = block.shape, block.dtype
    if not isinstance(tensor, Tensor):
        raise ArgumentError(
            f"out= holds {kind_of(tensor)}, not a tensor.{to_tensor_advice(tensor)}"
        )
    if tensor.device != block.device:
        raise ArgumentError(
            f"out= is on {tensor.device}, but the result is on {block.device}."
        )
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ArgumentError(
            f"out= has shape {tuple(tensor.shape)} and {tensor.dtype}, but the "
            f"result has shape {shape} and {dtype}."
        )
    if not tensor.is_contiguous():
        raise ArgumentError(
            f"out= of shape {shape} is not contiguous; pass one that is."
        )


class _Key:
    """The key of a block, in a class that no tree flattening looks into."""

    def __init__(self, key: Key) -> None:
        self.key = key


def _run(size: int) -> Group:
    return Group((size,), 0, size)


def _groups(specs: Sequence[TensorSpec], chosen: Tensor | None) -> tuple[Group, ...]:
    if chosen is not None:
        return (_run(chosen.numel()),)
    starts = [sum(spec.size for spec in specs[:i]) for i in range(len(specs))]
    return tuple(
        Group(spec.shape, start, spec.size)
        for spec, start in zip(specs, starts, strict=True)
    )


def nest(problem: Problem, blocks: Sequence[Sequence[Any]], *, leaf: Any = None) -> Any:
    """Nest blocks (outputs by inputs) as `torch.func.jacrev` does.

    Chosen rows or columns take the place of the whole tree on their side, and so does
    the one axis of the flat layout.
    """
    if leaf is None and problem.one_by_one:
        return blocks[0][0]
    one_column = problem.joined or problem.part == "trace"
    by_output: list[Any] = []
    for row in blocks:
        wrapped = row if leaf is None else [leaf(block) for block in row]
        by_output.append(wrapped[0] if one_column else _by_input(problem, wrapped))
    if problem.part == "whole" and problem.rows is not None:
        return by_output[0]
    gradient = problem.gradient is not None and problem.part == "whole"
    if gradient and problem.options.layout == "dict":
        return nest_gradient(problem, by_output)
    return problem.value_structure.unflatten(by_output)


def nest_gradient(problem: Problem, parts: Sequence[Any]) -> Any:
    """Nest one item for each value and each input, given value by value."""
    each = len(problem.inputs)
    by_value = [
        _by_input(problem, parts[i : i + each]) for i in range(0, len(parts), each)
    ]
    return problem.value_structure.unflatten(by_value)


def _by_input(problem: Problem, items: Sequence[Any]) -> Any:
    """Nest one item for each input as the inputs nest."""
    spec = problem.call_spec
    return spec.nesting.unflatten(
        [None if p is None else items[p] for p in spec.places]
    )
