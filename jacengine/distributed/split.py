"""How a Jacobian is split over ranks: by samples, by rows, or by columns.

Each rank computes the Jacobian of a call of its own: of some samples, or of chosen rows
or columns. Rows and columns are chosen along one axis of an output or input, the
longest, so that the parts are parts of the whole result along that axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.distributed.part import Part
from jacengine.distributed.window import Window
from jacengine.errors import PlanMismatchError
from jacengine.problem.call_spec import CallSpec
from jacengine.problem.problem import Entries, Options, Problem
from jacengine.results.result_layout import Group, ResultLayout, nest

Axis = Literal["samples", "rows", "columns"]
Place = Callable[[Part], Any]
"""What becomes of a part: a tensor over the mesh, or the whole tensor."""
Call = tuple[tuple[Any, ...], Mapping[str, Any]]


class Split(ABC):
    """A rank's share of a call, and what its result is a part of.

    Attributes:
        axis: Along what the result is split.
        options: The options of the rank's own call.
    """

    axis: Axis
    options: Options

    @abstractmethod
    def own_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Return the arguments of the rank's own call."""

    @abstractmethod
    def whole(self, found: Any, call: Call, place: Place) -> Any:
        """Make the whole result of what this rank has computed of it.

        Args:
            found: The result of the rank's own call.
            call: The arguments of the user's call.
            place: Makes a tensor of the result of its part.
        """


class SampleSplit(Split):
    """Some of the samples, all rows and columns."""

    axis: Axis = "samples"

    def __init__(self, spec: CallSpec, options: Options, rank: int, ranks: int) -> None:
        self._spec, self._rank, self._ranks = spec, rank, ranks
        self.options = options

    def own_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Return the arguments at the samples that this rank computes.

        Raises:
            PlanMismatchError: There are more arguments than there were, or fewer.
        """
        leaves, structure = pytrees.flatten_call(args, kwargs)
        dims = self._spec.dims
        if len(leaves) != len(dims):
            raise PlanMismatchError(
                f"The plan is for calls of {len(dims)} tensors and values, but got "
                f"{len(leaves)}. Make a plan for these arguments."
            )
        part = self.window(args, kwargs).computed
        own = [
            leaf
            if dim is None or not isinstance(leaf, Tensor)
            else leaf.narrow(dim, part.start, part.stop - part.start)
            for leaf, dim in zip(leaves, dims, strict=True)
        ]
        found: Call = structure.unflatten(own)
        return found

    def whole(self, found: Any, call: Call, place: Place) -> Any:
        """Put this rank's samples in their place among all."""
        window = self.window(*call)
        leaves, structure = pytrees.flatten(found)
        return structure.unflatten(
            [
                place(Part(leaf, 0, window)) if isinstance(leaf, Tensor) else leaf
                for leaf in leaves
            ]
        )

    def window(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Window:
        """Return this rank's part of the samples."""
        leaves = pytrees.flatten_call(args, kwargs)[0]
        count = self._spec.count_samples(leaves) or 0
        # Two samples at least show whether one depends on another.
        return Window(count, self._ranks, self._rank, least=2)


class EntrySplit(Split):
    """Some of the rows, or of the columns, of all samples."""

    def __init__(
        self, problem: Problem, axis: Literal["rows", "columns"], rank: int, ranks: int
    ) -> None:
        """Choose entries.

        Args:
            problem: The whole.
            axis: What of.
            rank: Which rank it is.
            ranks: How many there are.
        """
        self.axis: Axis = axis
        self._problem, self._layout = problem, ResultLayout(problem)
        groups = self._layout.rows if axis == "rows" else self._layout.columns
        self._slabs = [_Slab(group, rank, ranks) for group in groups]
        index = torch.cat([slab.entries for slab in self._slabs])
        chosen = problem.rows if axis == "rows" else problem.columns
        index = index if chosen is None else chosen[index]
        entries = as_slice(index)
        if axis == "rows":
            self.options = replace(problem.options, rows=entries)
            own = replace(problem, options=self.options, rows=index)
        else:
            self.options = replace(problem.options, columns=entries)
            own = replace(problem, options=self.options, columns=index)
        self._own_layout = ResultLayout(own)

    def own_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Return the arguments: every rank evaluates the function as it is called."""
        return args, kwargs

    def whole(self, found: Any, call: Call, place: Place) -> Any:
        """Put this rank's rows or columns in their place among all."""
        leading = 0 if self._problem.batch_size is None else 1
        layout, by_rows = self._layout, self.axis == "rows"
        own = self._own_layout.blocks_in(found)
        blocks: list[list[Any]] = [[None] * len(layout.columns) for _ in layout.rows]
        for (r, c), block in layout.blocks.items():
            computed = own[0, c] if by_rows else own[r, 0]
            before = leading + (0 if by_rows else len(layout.rows[r].shape))
            number = r if by_rows else c
            slab = self._slabs[number]
            start = sum(slab.count for slab in self._slabs[:number])
            taken = computed.narrow(before, start, slab.count).to(block.dtype)
            shape = (*taken.shape[:before], *slab.shape, *taken.shape[before + 1 :])
            dim = before + slab.dim
            blocks[r][c] = place(Part(taken.reshape(shape), dim, slab.window))
        return nest(self._problem, blocks)


class _Slab:
    """A rank's part of one tensor of outputs or inputs, along its longest axis.

    Attributes:
        window: Its part of that axis; `None` for a number, which all ranks compute.
        dim: The axis.
        shape: The shape of what the rank computes.
        entries: Which entries that are, of all tensors flattened.
        count: How many.
    """

    def __init__(self, group: Group, rank: int, ranks: int) -> None:
        shape = group.shape
        index = torch.arange(group.start, group.start + group.size, device="cpu")
        self.dim = max(range(len(shape)), key=lambda d: shape[d], default=0)
        self.window: Window | None = None
        index = index.view(shape)
        if shape:
            self.window = Window(shape[self.dim], ranks, rank)
            part = self.window.computed
            index = index.narrow(self.dim, part.start, part.stop - part.start)
        self.shape = tuple(index.shape)
        self.entries = index.flatten()
        self.count = self.entries.numel()


def as_slice(index: Tensor) -> Entries:
    """Return indices as a slice, if they follow each other: it is hashed at once."""
    count = index.numel()
    if count == 0:
        return slice(0, 0)
    start = int(index[0])
    if torch.equal(index, torch.arange(start, start + count, device="cpu")):
        return slice(start, start + count)
    return index
