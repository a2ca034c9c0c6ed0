"""J as a sparse matrix, whose values are computed once for a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from jacengine.linear_operators.matrix_free import ImplicitMatrix
from jacengine.patterns.pattern import Pattern
from jacengine.plans.planning import make_plan
from jacengine.plans.request import PlanRequest
from jacengine.plans.sparse import with_pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.callee import NO_CALLEE
from jacengine.problem.problem import Problem
from jacengine.results.csr import csr_tensor
from jacengine.seeding.colored import color_count
from jacengine.selection.effort import Effort

MOST_COLORS = 64
"""Colours up to which the values are computed for the products with them."""
DTYPES = frozenset({torch.float32, torch.float64})
"""What torch multiplies CSR matrices of."""


class SparseMatrix(ImplicitMatrix):
    """A block-diagonal matrix, one block a sample, by its nonzeros."""

    def __init__(self, problem: Problem, pattern: Pattern, values: Tensor) -> None:
        """Hold the values, `(nnz,)` or `(B, nnz)`, of a pattern of one sample."""
        (m, n), count = pattern.shape, problem.sample_count
        super().__init__((count * m, count * n), values, differentiable=False)
        self._values = values.reshape(-1)
        sample = torch.arange(count, device="cpu").unsqueeze(1)
        self._rows = (sample * m + pattern.rows).flatten().to(values.device)
        self._columns = (sample * n + pattern.columns).flatten().to(values.device)

    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`."""
        return self._matrix @ tangents

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`."""
        return self._transpose @ cotangents

    def row_squares(self) -> Tensor:
        """Return the squared norms of the rows, `(M,)`."""
        total = self.like.new_zeros(self.shape[0])
        return total.index_add(0, self._rows, self._values.square())

    def column_squares(self) -> Tensor:
        """Return the squared norms of the columns, `(N,)`."""
        total = self.like.new_zeros(self.shape[1])
        return total.index_add(0, self._columns, self._values.square())

    @cached_property
    def _matrix(self) -> Tensor:
        return self._csr(self._rows, self._columns, self._values, self.shape)

    @cached_property
    def _transpose(self) -> Tensor:
        order = (self._columns * self.shape[0] + self._rows).argsort()
        rows, columns, values = (
            t[order] for t in (self._columns, self._rows, self._values)
        )
        return self._csr(rows, columns, values, self.shape[::-1])

    @staticmethod
    def _csr(
        rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]
    ) -> Tensor:
        counts = torch.bincount(rows, minlength=shape[0])
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return csr_tensor(starts, columns, values, shape)


def sparse_matrix(
    request: PlanRequest, problem: Problem, *, timed: bool
) -> tuple[Callable[[BoundFunction], ImplicitMatrix], str] | None:
    """Choose how to compute J as a sparse matrix, if it is one of few colours.

    Returns:
        What makes the matrix of a bound function, and how, in words.
    """
    spec, options = problem.call_spec, request.options
    alone = len(problem.inputs) == 1 and not problem.shares
    if options.create_graph or not alone or spec.names or problem.coupled:
        return None
    if problem.outputs[0].dtype not in DTYPES:
        return None
    known = with_pattern(problem, request)
    pattern = known.pattern
    if pattern is None or not 0 < color_count(known) <= MOST_COLORS:
        return None
    chosen = replace(options, layout="values", sparsity=pattern)
    effort: Effort = "quick" if timed else "none"
    plan = make_plan(replace(request, options=chosen, effort=effort)).of(NO_CALLEE)

    def made(bound: BoundFunction) -> ImplicitMatrix:
        values: Tensor = plan.compute(bound.callee, bound.leaves)
        return SparseMatrix(problem, pattern, values)

    return made, f"a sparse matrix of {color_count(known)} colours by {plan.strategy}"
