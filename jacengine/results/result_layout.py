"""The shape of a result: its blocks, their places, and how they nest.

Every pair of an output and an input has a block of J. All of this follows from the
problem alone and is worked out once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError
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
    """What one block of J looks like.

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
        problem: Whose.
        joint: Rows come for `(sample, entry)` pairs instead of for entries.
        rows: The groups of rows.
        columns: The groups of columns.
        blocks: What each block looks like.
        times: How many directions each row has: the samples, if `joint`.
    """

    def __init__(self, problem: Problem, *, joint: bool = False) -> None:
        self.problem = problem
        self.joint = joint
        if problem.part == "whole":
            self._lines = problem.outputs
            self.rows = _groups(problem.outputs, problem.rows)
        else:
            self._lines = problem.values
            self.rows = _groups(problem.values, None)
        if problem.part == "trace":
            self.columns: tuple[Group, ...] = (Group((), 0, 1),)
        elif problem.joined:
            self.columns = (_run(problem.column_count),)
        else:
            self.columns = _groups(problem.inputs, None)
        self.times = problem.sample_count if joint else 1
        self.blocks = {
            (r, c): self._block(r, c)
            for r in range(len(self.rows))
            for c in range(len(self.columns))
        }

    def _block(self, row: int, column: int) -> Block:
        outputs, size = self._lines, self.problem.batch_size
        rows, columns = self.rows[row], self.columns[column]
        samples = 1 if self.joint else self.problem.sample_count
        whole = () if size is None else (size,)
        dtype = outputs[row].dtype
        if self.problem.rows is not None and self.problem.part == "whole":
            dtypes = (leaf.dtype for leaf in outputs)
            dtype = functools.reduce(torch.promote_types, dtypes)
        return Block(
            (samples, rows.size * self.times, columns.size),
            (*whole, *rows.shape, *columns.shape),
            dtype,
            outputs[row].device,
        )

    @functools.cached_property
    def _nested(self) -> tuple[list[_Key | None], pytrees.Structure]:
        """Which block stands where in the result; `None`: nothing does."""
        keys = [
            [(r, c) for c in range(len(self.columns))] for r in range(len(self.rows))
        ]
        return pytrees.flatten(nest(self.problem, keys, leaf=_Key))

    def given(self, out: Any) -> dict[Key, Tensor]:
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

    def opened(self, out: Any) -> dict[Key, Tensor]:
        """View the tensors of a preallocated result as blocks; see `given`."""
        return {
            key: tensor.view(self.blocks[key].extent)
            for key, tensor in self.given(out).items()
        }


def _require_fitting(tensor: Any, block: Block) -> None:
    """Hold a tensor of `out=` to the block that it is for.

    Raises:
        ArgumentError: It is something else.
    """
    shape, dtype = block.shape, block.dtype
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"out= holds a {type(tensor).__name__}, not a tensor.")
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
    """A place in the result; a class that no tree flattening looks into."""

    def __init__(self, key: Key) -> None:
        self.key = key


def _run(size: int) -> Group:
    return Group((size,), 0, size)


def _groups(leaves: Sequence[TensorSpec], chosen: Tensor | None) -> tuple[Group, ...]:
    if chosen is not None:
        return (_run(chosen.numel()),)
    starts = [sum(leaf.size for leaf in leaves[:i]) for i in range(len(leaves))]
    return tuple(
        Group(leaf.shape, start, leaf.size)
        for leaf, start in zip(leaves, starts, strict=True)
    )


def nest(problem: Problem, grid: Sequence[Sequence[Any]], *, leaf: Any = None) -> Any:
    """Nest a grid of blocks (outputs by inputs) as `torch.func.jacrev` does.

    Chosen rows or columns take the place of the whole tree on their side, and so does
    the one axis of the flat layout.
    """
    wrap = (lambda value: value) if leaf is None else leaf
    one_column = problem.joined or problem.part == "trace"
    lines: list[Any] = []
    for line in grid:
        cells = [wrap(cell) for cell in line]
        lines.append(cells[0] if one_column else _by_input(problem, cells))
    if problem.part == "whole" and problem.rows is not None:
        return lines[0]
    gradient = problem.inner is not None and problem.part == "whole"
    if gradient and problem.options.layout == "dict":
        return nest_gradient(problem, lines)
    return problem.value_structure.unflatten(lines)


def nest_gradient(problem: Problem, parts: Sequence[Any]) -> Any:
    """Nest what there is one of for each value and each input, value by value."""
    each = len(problem.inputs)
    lines = [
        _by_input(problem, parts[i : i + each]) for i in range(0, len(parts), each)
    ]
    return problem.value_structure.unflatten(lines)


def _by_input(problem: Problem, cells: Sequence[Any]) -> Any:
    """Nest what there is one of for each input as the inputs nest."""
    places = [None if p is None else cells[p] for p in problem.layout.places]
    return problem.layout.nesting.unflatten(places)
