"""J by parameters, factored into each layer's inputs and output cotangents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import first_point
from jacengine.interface import Composition
from jacengine.layers.contraction import (
    CapturedPass,
    capture_pass,
    contractor,
    per_sample_vjp,
    rule_cotangent,
    rule_input,
)
from jacengine.layers.contraction_plan import make_plan
from jacengine.linear_operators.factors import (
    Dense,
    EmbeddingFactor,
    Factor,
    Outer,
    Products,
    add_kernel,
    merged,
)
from jacengine.linear_operators.matrix_free import PART, ImplicitMatrix
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidates import candidates
from jacengine.task import balanced


class FactoredMatrix(ImplicitMatrix):
    """One factor a parameter; rows are pairs of a sample and an output entry."""

    def __init__(
        self,
        factors: Sequence[Factor],
        primals: Tensors,
        samples: int,
        entries: int,
        *,
        differentiable: bool,
    ) -> None:
        self._factors = tuple(factors)
        self._sizes = [primal.numel() for primal in primals]
        self._samples, self._entries = samples, entries
        shape = (samples * entries, sum(self._sizes))
        super().__init__(shape, primals[0].detach(), differentiable=differentiable)

    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`."""
        total = tangents.new_zeros(self._samples, self._entries, tangents.shape[1])
        parts = tangents.split(self._sizes)
        for factor, part in zip(self._factors, parts, strict=True):
            total = total + factor.push(part)
        return total.flatten(0, 1)

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`."""
        apart = cotangents.unflatten(0, (self._samples, self._entries))
        return torch.cat([factor.pull(apart) for factor in self._factors])

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows of some samples at a time."""
        for part, J in self._formed():
            rows = slice(part.start * self._entries, part.stop * self._entries)
            yield rows, J.flatten(0, 1)

    def normal(self) -> Tensor:
        """Multiply the transpose by J, block by block of the transpose."""
        total = self.like.new_zeros(self.shape[1], self.shape[1])
        for part, J in self._formed():
            blocks = J.split(self._sizes, dim=2)
            pairs = zip(self._factors, blocks, strict=True)
            total = total + torch.cat([_transposed(f, part, b, J) for f, b in pairs])
        return total

    def kernel(self, other: ImplicitMatrix) -> Tensor:
        """Multiply with the transpose of another, parameter by parameter."""
        if not isinstance(other, FactoredMatrix):
            return super().kernel(other)
        rows = (self._samples, self._entries, other._samples, other._entries)
        total = self.like.new_zeros(rows)
        products = Products()
        for mine, theirs in zip(self._factors, other._factors, strict=True):
            add_kernel(mine, theirs, total, products)
        return total.view(self.shape[0], other.shape[0])

    def row_squares(self) -> Tensor:
        """Return the squared norms of the rows."""
        total = self.like.new_zeros(self._samples, self._entries)
        for factor in self._factors:
            total = total + factor.squares()
        return total.flatten()

    def column_squares(self) -> Tensor:
        """Return the squared norms of the columns."""
        return torch.cat([factor.column_squares() for factor in self._factors])

    def _formed(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield some samples, and J of them, `(s, k, N)`."""
        width = self._entries * self.shape[1]
        for part in balanced(self._samples, max(1, PART // max(1, width))):
            blocks = [
                f.dense(None, part).unsqueeze(-1).flatten(2) for f in self._factors
            ]
            yield part, torch.cat(blocks, dim=2)


def _transposed(factor: Factor, samples: slice, block: Tensor, J: Tensor) -> Tensor:
    """Multiply the transpose of a block `(s, k, p)` with `(s, k, N)`; `(p, N)`.

    By its factors if that takes fewer operations, which it does with many outputs.
    """
    if not (isinstance(factor, Outer) and factor.pulls_cheaper):
        return block.flatten(0, 1).T @ J.flatten(0, 1)
    part = factor.at(samples)
    entries = part.left.shape[0] * part.left[0, 0].numel()
    columns = balanced(J.shape[2], max(1, PART // max(1, entries)))
    return torch.cat([part.pull(J[..., some]) for some in columns], dim=1)


def factor_by_layers(
    problem: Problem, bound: BoundFunction, composition: Composition
) -> Callable[[BoundFunction], FactoredMatrix] | None:
    """Find how the layers of a module factor J by its parameters.

    Args:
        problem: What is differentiated.
        bound: The module at the arguments to try.
        composition: A strategy that contracts layers; its settings are used.

    Returns:
        What factors J of a bound function; `None` if the layers cannot be captured.
    """
    method = next(candidates(problem, [composition]))
    seeding = method.seeds(problem)
    try:
        with execution_context(problem, bound, method) as ready:
            point = first_point(problem, ready, method)
            found = make_plan(point)
            capture_pass(point, found)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None

    @functools.cache
    def all_seeds() -> Tensors:
        return seeding.seeds(slice(0, seeding.count))

    def factored(bound: BoundFunction) -> FactoredMatrix:
        with execution_context(problem, bound, method) as ready:
            point = first_point(problem, ready, method)
            captured = capture_pass(point, found if found.sample_axis_known else None)
            factors = factors_of(captured, all_seeds(), point.batch_size)
        return FactoredMatrix(
            factors,
            captured.primals,
            point.batch_size or 1,
            seeding.count,
            differentiable=problem.options.create_graph,
        )

    return factored


def factors_of(
    captured: CapturedPass, seeds: Tensors, batch_size: int | None
) -> tuple[Factor, ...]:
    """Factor the block of every parameter, from one backward pass.

    Args:
        captured: A forward pass.
        seeds: One cotangent for each output entry, `(K, *out)` or `(K, B, *out)`.
        batch_size: The number of samples to keep apart, or `None`.
    """
    uses: list[list[Factor]] = [[] for _ in captured.primals]
    for i, cotangents in enumerate(captured.output_cotangents(seeds)):
        if all(cotangent is None for cotangent in cotangents):
            continue
        call, rule = captured.calls[i], captured.plan.contractions[i].rule
        formed: list[int] = []
        for index, name in call.unit.parameters:
            form = None if rule is None or call.unit.view else rule.form(name)
            if form is None or not (form.factors or form.rows):
                formed.append(index)
                continue
            assert cotangents[0] is not None
            x, g = rule_input(captured, i), rule_cotangent(captured, i, cotangents[0])
            shape = tuple(captured.primals[index].shape)
            if form.factors is not None:
                factors = form.factors(call.module, x.to(g.dtype), g)
                uses[index].append(Outer(*factors, shape))
            elif form.rows is not None:
                rows = form.rows(call.module, x, g)
                uses[index].append(EmbeddingFactor(*rows, shape))
        if formed:
            writers = contractor(captured, [i])([cotangents])
            for index in formed:
                uses[index].append(Dense(writers[index](None).transpose(0, 1)))
    for index in captured.plan.vjp_parameters:
        block = per_sample_vjp(
            captured.outputs,
            captured.primals[index],
            seeds,
            batch_size,
            create_graph=captured.create_graph,
        )
        uses[index].append(Dense(block.transpose(0, 1)))
    for primal, found in zip(captured.primals, uses, strict=True):
        if not found:
            size = (batch_size or 1, seeds[0].shape[0], *primal.shape)
            found.append(Dense(primal.detach().new_zeros(()).expand(size)))
    return tuple(map(merged, uses))
