"""Jacobians and Hessians larger than the memory: in blocks, or into `out=`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, get_args

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine._progress import stage
from jacengine.errors import ArgumentError, MemoryBudgetError, unknown_choice
from jacengine.execution.sweep import Sweep
from jacengine.plans.analysis import analyze_request
from jacengine.plans.compute import compute_nested
from jacengine.plans.plan import J_co, Plan
from jacengine.plans.request import PlanRequest
from jacengine.results.result_layout import ResultLayout
from jacengine.selection.budget import to_bytes
from jacengine.selection.finite_differences import UNREACHED
from jacengine.selection.reference import Reference
from jacengine.task import balanced

Axis = Literal["samples", "rows", "parameters"]

SHARE = 4
"""A piece takes at most this fraction of the budget: the consumer may hold one while
the next is computed, and computing takes memory beside it."""


@dataclass(frozen=True)
class Piece(Generic[J_co]):
    """A part of a Jacobian.

    Attributes:
        samples: The samples it is of.
        rows: The output entries (of one sample, flattened) it is of.
        parameters: The names of the parameters it is of; empty for inputs.
        jacobian: The part itself, nested and shaped as the whole, but for the axis it
            is a part of; pieces of rows have that axis in the place of `*out`.
    """

    samples: slice
    rows: slice
    parameters: tuple[str, ...]
    jacobian: J_co


class Pieces(Iterator[Piece[J_co]]):
    """The pieces of a Jacobian, in order, each computed when it is requested.

    Attributes:
        by: The axis that it is cut along.
        count: How many pieces there are altogether, which is the length too. There are
            more if a piece turns out not to fit, and the others are made smaller.
    """

    def __init__(
        self,
        title: str,
        by: Axis,
        count: int,
        compute: Callable[[Pieces], Iterator[Piece]],
    ) -> None:
        """Begin with the first piece, of a matrix with this title."""
        self.by: Axis = by
        self.count = count
        self._title = title
        self._computed = compute(self)

    def __next__(self) -> Piece[J_co]:
        """Compute the next piece."""
        return next(self._computed)

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        """Say what is cut, and into how many pieces."""
        return f"Pieces({self._title} by {self.by}: {self.count})"


class BlockwiseJacobian:
    """A Jacobian that is computed in pieces.

    Attributes:
        problem: The whole.
        budget: Bytes.
    """

    def __init__(
        self,
        request: PlanRequest,
        plan: Callable[[PlanRequest], Plan],
        convert: Callable[[Piece], Piece] | None = None,
    ) -> None:
        """Analyze the call; `plan` makes the plan of a piece, `convert` changes it."""
        self.problem = analyze_request(request)
        device = self.problem.outputs[0].device
        self.budget = to_bytes(request.memory_budget, device)
        self._whole = Piece(
            slice(0, self.problem.sample_count),
            slice(0, self.problem.row_count),
            self.problem.call_spec.names,
            None,
        )
        self._request = request
        self._make_plan = plan
        self._convert = convert
        self._out: Any = None

    @property
    def default_axis(self) -> Axis:
        """The axis to cut along, if the user names none."""
        return "samples" if self._separable else "rows"

    @property
    def _separable(self) -> bool:
        """Whether some of the samples alone give the same as among the others."""
        problem = self.problem
        coupled = problem.coupled or problem.changes_state
        return problem.batch_size is not None and not coupled

    def fill(self, out: Any) -> None:
        """Write the whole Jacobian, piece by piece, into the user's memory.

        Raises:
            ArgumentError: Pieces are not contiguous in `out`: they are of rows, and the
                function has several outputs or samples.
        """
        problem = self.problem
        ResultLayout(problem).extents_of(out)  # refuses what does not fit as a whole
        one = problem.value_structure is pytrees.LEAF and problem.gradient is None
        plain = one and problem.batch_size is None
        if not (self._separable or plain):
            raise ArgumentError(
                "The Jacobian exceeds the budget, and out= is filled piece by piece "
                "only for independent samples, or without batch_dim for functions that "
                "return one tensor. Raise memory_budget, or iterate over "
                "jacengine.blocks(...)."
            )
        self._out = out
        for _ in self.pieces(self.default_axis):
            pass

    def pieces(self, by: Axis, at_least: int = 1) -> Pieces:
        """Return the pieces along an axis, so many at least if it is that long.

        Raises:
            ArgumentError: There is no such axis.
        """
        cuts = self.cuts(by, at_least)
        return Pieces(
            self.problem.title, by, len(cuts), lambda pieces: self._all(pieces, cuts)
        )

    def _all(self, pieces: Pieces, cuts: Sequence[slice]) -> Iterator[Piece]:
        """Yield all pieces, smaller ones from where one proves too large."""
        begun, size = time.monotonic(), self.size(pieces.by)
        rest, done = list(cuts), 0
        while rest:
            taken = time.monotonic() - begun
            try:
                with stage("blocks", size, rest[0].start, taken):
                    piece = self.piece(pieces.by, rest[0])
            except MemoryBudgetError:
                if rest[0].stop - rest[0].start == 1:
                    raise
                rest = [half for part in rest for half in halves(part)]
                pieces.count = done + len(rest)
            else:
                rest.pop(0)
                done += 1
                yield piece

    def size(self, by: Axis) -> int:
        """Return the length of an axis: samples, rows or parameters.

        Raises:
            ArgumentError: There is no such axis.
        """
        problem = self.problem
        match by:
            case "samples":
                if problem.batch_size is None:
                    raise ArgumentError(
                        'by="samples" needs independent samples: say along which axis '
                        "they are with batch_dim=."
                    )
                if not self._separable:
                    raise ArgumentError(
                        'by="samples" needs samples that can be computed some at a '
                        "time, but this function couples them, draws random numbers or "
                        "writes buffers, so that a part of the batch gives something "
                        'else. Pass by="rows" or by="parameters", or call .eval().'
                    )
                return problem.batch_size
            case "rows":
                if problem.part != "whole":
                    raise ArgumentError(
                        f'by="rows" cuts a matrix, which a {problem.title} is not. '
                        'Pass by="samples" with independent samples, or compute chosen '
                        "entries with columns=."
                    )
                if problem.options.complex == "holomorphic":
                    raise ArgumentError(
                        'by="rows" cuts between real output entries, which '
                        "complex='holomorphic' does not have. Pass by=\"samples\", "
                        "by=\"parameters\" or complex='as_real'."
                    )
                return problem.row_count
            case "parameters":
                if not problem.call_spec.names:
                    raise ArgumentError(
                        f'by="parameters" cuts between parameters, but wrt='
                        f'{problem.options.wrt!r} names inputs. Pass wrt="params".'
                    )
                if problem.gradient is not None:
                    raise ArgumentError(
                        f'by="parameters" would leave out what a {problem.title} has '
                        'between groups of parameters. Pass by="rows".'
                    )
                return len(problem.call_spec.names)
        raise ArgumentError(unknown_choice("by", by, get_args(Axis)))

    def cuts(
        self, by: Axis, at_least: int = 1, within: slice | None = None
    ) -> list[slice]:
        """Cut an axis, or a part of it, into parts as large as the budget permits."""
        within = within or slice(0, self.size(by))
        size, whole = self.size(by), self.problem.result_bytes
        room = min(self.budget // SHARE, whole // at_least)
        if by == "parameters":
            return list(self._groups(within, room))
        most = max(1, min(size, room * size // whole)) if whole else None
        return [
            slice(within.start + part.start, within.start + part.stop)
            for part in balanced(within.stop - within.start, most)
        ]

    def _groups(self, within: slice, room: int) -> Iterator[slice]:
        """Group parameters, one by one, as far as they fit together."""
        start = within.start
        for stop in range(start + 1, within.stop):
            if self.bytes_of("parameters", slice(start, stop + 1)) > room:
                yield slice(start, stop)
                start = stop
        yield slice(start, within.stop)

    def bytes_of(self, by: Axis, part: slice) -> int:
        """Return the size of a piece."""
        whole = self.problem.result_bytes
        if by == "parameters":
            columns = sum(spec.size for spec in self.problem.inputs[part])
            return whole * columns // max(1, self.problem.column_count)
        count: int = part.stop - part.start
        return whole * count // max(1, self.size(by))

    def piece(self, by: Axis, part: slice) -> Piece:
        """Compute a piece.

        Raises:
            MemoryBudgetError: It does not fit.
        """
        room = self.budget - self.bytes_of(by, part)
        match by:
            case "samples":
                found = self._of_samples(part, room)
            case "rows":
                found = self._of_rows(part, room)
            case "parameters":
                found = self._of_parameters(part, room)
        return found if self._convert is None else self._convert(found)

    def _of_samples(self, part: slice, budget: int) -> Piece:
        problem, request = self.problem, self._request
        bound = problem.bind(request.callee, request.leaves)
        some = bound.samples(part.start, part.stop)
        args, kwargs = problem.call_spec.structure.unflatten(list(some.leaves))
        plan = self._plan(budget, args=args, kwargs=kwargs)
        out = self._part_of_out(lambda block: block[part])
        found = plan.call(args, kwargs, out=out)
        return replace(self._whole, samples=part, jacobian=found)

    def _of_rows(self, part: slice, budget: int) -> Piece:
        problem = replace(
            self.problem, rows=torch.arange(part.start, part.stop, device="cpu")
        )
        if problem.result_bytes > budget:
            raise MemoryBudgetError("a piece of rows exceeds the budget")
        options = replace(problem.options, rows=slice(0, part.stop - part.start))
        plan = self._plan(budget, options=options)
        assert plan.chosen.method is not None
        bound = problem.bind(self._request.callee, self._request.leaves)
        sweep = Sweep(problem, plan.chosen.method)
        rank, size = len(problem.outputs[0].shape), problem.outputs[0].size
        out = self._part_of_out(
            lambda block: block.view(size, *block.shape[rank:])[part]
        )
        # The plan was verified on its own rows, which are the first.
        reference = Reference.of(problem, bound)
        found = compute_nested(problem, bound, sweep, out=out, reference=reference)
        return replace(self._whole, rows=part, jacobian=found)

    def _part_of_out(self, part_of: Callable[[Tensor], Tensor]) -> Any:
        """Return the memory of a piece in the user's, if that was given."""
        if self._out is None:
            return None
        leaves, structure = pytrees.flatten(self._out)
        return structure.unflatten(list(map(part_of, leaves)))

    def _of_parameters(self, part: slice, budget: int) -> Piece:
        request, names = self._request, self.problem.call_spec.names[part]
        options = replace(self.problem.options, wrt=list(names))
        with warnings.catch_warnings():
            # One group of parameters may be unused where another is not.
            warnings.filterwarnings("ignore", message=f".*{UNREACHED}")
            plan = self._plan(budget, options=options)
        found = plan.call(request.args, request.kwargs)
        return replace(self._whole, parameters=names, jacobian=found)

    def _plan(self, budget: int, **changes: Any) -> Plan:
        changed = replace(self._request, memory_budget=max(1, budget), **changes)
        return self._make_plan(changed)


def halves(part: slice) -> list[slice]:
    """Halve a part of an axis; a single entry stays."""
    middle = (part.start + part.stop) // 2
    both = slice(part.start, middle), slice(middle, part.stop)
    return [half for half in both if half.start < half.stop]
