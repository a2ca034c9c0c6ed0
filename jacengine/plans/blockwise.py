"""Jacobians and Hessians larger than the memory: cut, or written where users say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import ArgumentError, MemoryBudgetError
from jacengine.execution.sweep import Sweep
from jacengine.interface import Strategy
from jacengine.plans.plan import Plan, compute
from jacengine.plans.planning import cached_plan
from jacengine.problem.analyze import analyze
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import LayoutOption, Options, Randomness
from jacengine.problem.quantity import Quantity
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding.basis import balanced
from jacengine.selection.budget import Budget, to_bytes
from jacengine.selection.reference import Reference
from jacengine.selection.select import Effort

Axis = Literal["samples", "rows", "parameters"]

SHARE = 4
"""A piece takes at most this fraction of the budget: the consumer may hold one while
the next is computed, and computing takes memory beside it."""


@dataclass(frozen=True)
class Piece:
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
    jacobian: Any


def blocks(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    by: Axis | None = None,
    memory_budget: Budget = None,
    create_graph: bool = False,
    effort: Effort = "quick",
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    randomness: Randomness = "error",
    layout: LayoutOption = "dict",
    quantity: Quantity = "jacobian",
) -> Iterator[Piece]:
    """Iterate over the pieces of a Jacobian, or Hessian, that exceeds the memory.

    Pieces are as large as the budget lets them be while the consumer holds one and the
    next is computed. Together they are the Jacobian, in order and without overlap.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        by: Along what to cut: `"samples"` (the default for independent samples),
            `"rows"` (output entries; the default otherwise) or `"parameters"`. Rows of
            a Hessian are entries of the gradient, `(*out, *in)` flattened.
        memory_budget: Bytes that all of this may take, as in `auto`.
        create_graph: As in `auto`.
        effort: As in `auto`; spent on the first piece, and on pieces of another size.
        strategies: As in `auto`.
        exclude: As in `auto`.
        randomness: As in `auto`.
        layout: As in `auto`.
        quantity: As in `plan`.

    Returns:
        The pieces, computed one by one as they are asked for.

    Raises:
        ArgumentError: There is no such axis to cut along.
        MemoryBudgetError: Not even the smallest piece fits.

    Example:
        >>> import torch, jacengine
        >>> model, x = torch.nn.Linear(3, 1), torch.randn(100, 3)
        >>> gram = torch.zeros(4, 4)
        >>> for piece in jacengine.blocks(
        ...     model, x, wrt="params", batch_dim=0, layout="flat"
        ... ):
        ...     rows = piece.jacobian.flatten(0, 1)
        ...     gram += rows.T @ rows
    """
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        randomness=randomness,
        layout=layout,
        quantity=quantity,
    )
    cutter = BlockwiseJacobian(
        fn,
        args,
        kwargs or {},
        options,
        known_strategies().choose(strategies, exclude, quantity),
        memory_budget=memory_budget,
        effort=effort,
    )
    return cutter.cut(by or cutter.usual)


class BlockwiseJacobian:
    """A Jacobian that is cut into pieces."""

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: Options,
        strategies: Sequence[Strategy],
        *,
        memory_budget: Budget,
        effort: Effort,
    ) -> None:
        """Look at the call; nothing is computed yet."""
        self.problem = analyze(fn, args, kwargs, options)
        self.budget = to_bytes(memory_budget, self.problem.outputs[0].device)
        self._args, self._kwargs = args, dict(kwargs)
        self._strategies = strategies
        self._effort: Effort = effort
        self._out: Any = None

    @property
    def usual(self) -> Axis:
        """The axis to cut along, if the user names none."""
        return "samples" if self._separable else "rows"

    @property
    def _separable(self) -> bool:
        """Whether some of the samples alone give the same as among the others."""
        problem = self.problem
        alone = not (problem.coupled or problem.changes_state)
        return problem.batch_size is not None and alone

    def fill(self, out: Any) -> None:
        """Write the whole Jacobian, piece by piece, into memory of the user's.

        Raises:
            ArgumentError: Pieces have no place of their own in `out`: they are of rows,
                and the function has several outputs or samples.
        """
        problem = self.problem
        ResultLayout(problem).opened(out)  # refuses what does not fit as a whole
        one = problem.value_structure is pytrees.LEAF and problem.inner is None
        plain = one and problem.batch_size is None
        if not (self._separable or plain):
            raise ArgumentError(
                "The Jacobian exceeds the budget, and out= is filled piece by piece "
                "only for independent samples, or without batch_dim for functions that "
                "return one tensor. Raise memory_budget, or iterate over "
                "jacengine.blocks(...)."
            )
        self._out = out
        for _ in self.cut(self.usual):
            pass

    def cut(self, by: Axis) -> Iterator[Piece]:
        """Yield the pieces along an axis.

        Raises:
            ArgumentError: There is no such axis.
        """
        problem = self.problem
        match by:
            case "samples":
                if problem.batch_size is None:
                    raise ArgumentError(
                        'by="samples" needs independent samples: say along which axis '
                        "they lie with batch_dim=."
                    )
                if not self._separable:
                    raise ArgumentError(
                        'by="samples" needs samples that can be computed some at a '
                        "time, but this function couples them, draws random numbers or "
                        "writes buffers, so that a part of the batch gives something "
                        'else. Pass by="rows" or by="parameters", or call .eval().'
                    )
                return self._pieces(problem.batch_size, self._of_samples)
            case "rows":
                if problem.part != "whole":
                    raise ArgumentError(
                        f'by="rows" cuts a matrix, which a {problem.title} is not. '
                        'Pass by="samples" with independent samples, or compute chosen '
                        "entries with columns=."
                    )
                return self._pieces(problem.row_count, self._of_rows)
            case "parameters":
                if not problem.layout.names:
                    raise ArgumentError(
                        f'by="parameters" cuts between parameters, but wrt='
                        f'{problem.options.wrt!r} names inputs. Pass wrt="params".'
                    )
                if problem.inner is not None:
                    raise ArgumentError(
                        f'by="parameters" would leave out what a {problem.title} has '
                        'between groups of parameters. Pass by="rows".'
                    )
                return self._of_parameters()
        raise ArgumentError(f"by={by!r}: expected 'samples', 'rows' or 'parameters'.")

    def _pieces(self, units: int, of: Callable[[slice, int], Piece]) -> Iterator[Piece]:
        """Yield pieces along an axis, as large as the budget lets them be."""
        whole = self.problem.result_bytes
        count = int(self.budget / SHARE * units / max(1, whole))
        count = max(1, min(units, count))
        position = 0
        while position < units:
            # Balanced over what is left, should a first piece have proved too large.
            part = next(iter(balanced(units - position, count)))
            part = slice(position + part.start, position + part.stop)
            held = whole * (part.stop - part.start) // max(1, units)
            try:
                piece = of(part, self.budget - held)
            except MemoryBudgetError:
                if count == 1:
                    raise
                count = max(1, count // 2)
                continue
            position = part.stop
            yield piece

    def _of_samples(self, part: slice, budget: int) -> Piece:
        problem = self.problem
        bound = problem.bind(self._args, self._kwargs).samples(part.start, part.stop)
        args, kwargs = problem.layout.structure.unflatten(list(bound.leaves))
        plan = self._plan(args, kwargs, problem.options, budget)
        into = self._place(lambda block: block[part])
        return self._piece(plan(*args, kwargs=kwargs, out=into), samples=part)

    def _of_rows(self, part: slice, budget: int) -> Piece:
        problem = replace(self.problem, rows=torch.arange(part.start, part.stop))
        if problem.result_bytes > budget:
            raise MemoryBudgetError("a piece of rows exceeds the budget")
        options = replace(problem.options, rows=slice(0, part.stop - part.start))
        plan = self._plan(self._args, self._kwargs, options, budget)
        assert plan.chosen.method is not None
        bound = problem.bind(self._args, self._kwargs)
        kernel = Sweep(problem, plan.chosen.method)
        rank, size = len(problem.outputs[0].shape), problem.outputs[0].size
        into = self._place(lambda block: block.view(size, *block.shape[rank:])[part])
        # The plan was verified on its own rows, which are the first.
        reference = Reference.of(problem, bound)
        found = compute(problem, bound, kernel, out=into, reference=reference)
        return self._piece(found, rows=part)

    def _place(self, part_of: Callable[[Tensor], Tensor]) -> Any:
        """Return where a piece goes in the user's memory, if that was given."""
        if self._out is None:
            return None
        leaves, structure = pytrees.flatten(self._out)
        return structure.unflatten([part_of(leaf) for leaf in leaves])

    def _of_parameters(self) -> Iterator[Piece]:
        for names, size in self._groups():
            options = replace(self.problem.options, wrt=list(names))
            plan = self._plan(self._args, self._kwargs, options, self.budget - size)
            found = plan(*self._args, kwargs=self._kwargs)
            yield self._piece(found, parameters=names)

    def _groups(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Group parameters as far as they fit together; yields names and bytes."""
        problem, room = self.problem, self.budget // SHARE
        share = problem.result_bytes / max(1, problem.column_count)
        names: list[str] = []
        total = 0
        for name, leaf in zip(problem.layout.names, problem.inputs, strict=True):
            size = int(leaf.size * share)
            if names and total + size > room:
                yield tuple(names), total
                names, total = [], 0
            names.append(name)
            total += size
        yield tuple(names), total

    def _piece(
        self,
        jacobian: Any,
        *,
        samples: slice | None = None,
        rows: slice | None = None,
        parameters: tuple[str, ...] | None = None,
    ) -> Piece:
        problem = self.problem
        return Piece(
            samples or slice(0, problem.sample_count),
            rows or slice(0, problem.row_count),
            problem.layout.names if parameters is None else parameters,
            jacobian,
        )

    def _plan(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Options,
        budget: int,
    ) -> Plan:
        return cached_plan(
            self.problem.fn,
            args,
            kwargs,
            options,
            self._strategies,
            memory_budget=max(1, budget),
            effort=self._effort,
        )
