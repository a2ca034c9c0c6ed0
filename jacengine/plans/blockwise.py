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
        self.by, self.count = by, count
        self._title = title
        self._computed = compute(self)

    def __next__(self) -> Piece[J_co]:
        """Compute the next piece."""
        return next(self._computed)

    def __len__(self) -> int:
        return self.count

    def changed(self, change: Callable[[Piece], Piece]) -> Pieces:
        """Return these pieces, of which each is changed when it is computed."""
        self._computed = map(change, self._computed)
        return self

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
        self, request: PlanRequest, plan: Callable[[PlanRequest], Plan]
    ) -> None:
        """Analyze the call; `plan` will make the plan of each piece."""
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

    def pieces(self, by: Axis) -> Pieces:
        """Return the pieces along an axis.

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
                return self._along(by, problem.batch_size, self._of_samples)
            case "rows":
                if problem.part != "whole":
                    raise ArgumentError(
                        f'by="rows" cuts a matrix, which a {problem.title} is not. '
                        'Pass by="samples" with independent samples, or compute chosen '
                        "entries with columns=."
                    )
                return self._along(by, problem.row_count, self._of_rows)
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
                groups = list(self._parameter_groups())
                return Pieces(
                    problem.title, by, len(groups), lambda _: self._of_groups(groups)
                )
        raise ArgumentError(unknown_choice("by", by, get_args(Axis)))

    def _along(self, by: Axis, size: int, of: Callable[[slice, int], Piece]) -> Pieces:
        """Cut an axis into pieces as large as the budget permits."""
        whole = self.problem.result_bytes
        most = max(1, min(size, int(self.budget / SHARE * size / max(1, whole))))

        def compute(pieces: Pieces) -> Iterator[Piece]:
            return self._cut(pieces, size, most, of)

        return Pieces(self.problem.title, by, -(-size // most), compute)

    def _cut(
        self, pieces: Pieces, size: int, most: int, of: Callable[[slice, int], Piece]
    ) -> Iterator[Piece]:
        """Yield pieces of an axis, of `most` entries or, if those do not fit, fewer."""
        whole, begun = self.problem.result_bytes, time.monotonic()
        position, done = 0, 0
        while position < size:
            # Balanced over the rest, should a first piece have proved too large.
            part = next(iter(balanced(size - position, most)))
            part = slice(position + part.start, position + part.stop)
            held = whole * (part.stop - part.start) // max(1, size)
            taken = time.monotonic() - begun
            try:
                with stage("blocks", size, position, taken):
                    piece = of(part, self.budget - held)
            except MemoryBudgetError:
                if most == 1:
                    raise
                most //= 2
                pieces.count = done + -(-(size - position) // most)
            else:
                position, done = part.stop, done + 1
                yield piece

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

    def _of_groups(
        self, groups: Sequence[tuple[tuple[str, ...], int]]
    ) -> Iterator[Piece]:
        request, begun, done = self._request, time.monotonic(), 0
        total = len(self.problem.call_spec.names)
        for names, size in groups:
            options = replace(self.problem.options, wrt=list(names))
            with stage("blocks", total, done, time.monotonic() - begun):
                with warnings.catch_warnings():
                    # One group of parameters may be unused where another is not.
                    warnings.filterwarnings("ignore", message=f".*{UNREACHED}")
                    plan = self._plan(self.budget - size, options=options)
                found = plan.call(request.args, request.kwargs)
            done += len(names)
            yield replace(self._whole, parameters=names, jacobian=found)

    def _parameter_groups(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Group parameters as far as they fit together; yields names and bytes."""
        problem, room = self.problem, self.budget // SHARE
        share = problem.result_bytes / max(1, problem.column_count)
        names: list[str] = []
        total = 0
        for name, spec in zip(problem.call_spec.names, problem.inputs, strict=True):
            size = int(spec.size * share)
            if names and total + size > room:
                yield tuple(names), total
                names, total = [], 0
            names.append(name)
            total += size
        yield tuple(names), total

    def _plan(self, budget: int, **changes: Any) -> Plan:
        changed = replace(self._request, memory_budget=max(1, budget), **changes)
        return self._make_plan(changed)
