"""Matrices that are known by their products, and J as JVPs and VJPs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.basis import one_hot
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import first_point, linearize
from jacengine.execution.method import Method
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.problem import Problem
from jacengine.task import balanced

PART = 2**24
"""Entries of J that are formed at a time, where rows have to be."""


class ImplicitMatrix(ABC):
    """A matrix `(M, N)` known by its products.

    Attributes:
        shape: `(M, N)`.
        like: A tensor of its dtype and device.
        differentiable: Whether products can be differentiated.
    """

    def __init__(
        self, shape: tuple[int, int], like: Tensor, *, differentiable: bool
    ) -> None:
        self.shape, self.like = shape, like
        self.differentiable = differentiable

    @abstractmethod
    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`; returns `(M, m)`."""

    @abstractmethod
    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`; returns `(N, m)`."""

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield blocks of rows: which they are, and their entries `(rows, N)`."""
        count, width = self.shape
        row = self.like.new_empty(()).expand(count)
        for part in balanced(count, max(1, PART // max(1, width))):
            (seeds,) = one_hot([row], range(part.start, part.stop))
            yield part, self.pull(seeds.T).T

    def kernel(self, other: ImplicitMatrix) -> Tensor:
        """Return `J J'^T`, `(M, M')`, with another matrix `(M', N)`."""
        if self.shape[0] < other.shape[0]:
            return torch.cat([other.push(rows.T) for _, rows in self.parts()], dim=1).T
        return torch.cat([self.push(rows.T) for _, rows in other.parts()], dim=1)

    def normal(self) -> Tensor:
        """Return `J^T J`, `(N, N)`."""
        total = self.like.new_zeros(self.shape[1], self.shape[1])
        for _, rows in self.parts():
            total = total + rows.T @ rows
        return total

    def row_squares(self) -> Tensor:
        """Return the squared norms of the rows, `(M,)`."""
        return torch.cat([rows.square().sum(1) for _, rows in self.parts()])

    def column_squares(self) -> Tensor:
        """Return the squared norms of the columns, `(N,)`."""
        total = self.like.new_zeros(self.shape[1])
        for _, rows in self.parts():
            total = total + rows.square().sum(0)
        return total


class MatrixFree(ImplicitMatrix):
    """Products by linearizations that are kept, `m` directions at a time.

    Columns are the entries of the inputs, one input after the other; rows those of the
    outputs, sample by sample.
    """

    def __init__(
        self, problem: Problem, jvps: Linearization, vjps: Linearization
    ) -> None:
        self._problem, self._jvps, self._vjps = problem, jvps, vjps
        samples = problem.batch_size
        self._ins = [
            spec.shape if spec.batch_dim is None else (samples or 1, *spec.shape)
            for spec in problem.inputs
        ]
        self._outs = [
            spec.shape if samples is None else (samples, *spec.shape)
            for spec in problem.outputs
        ]
        self._sizes = [torch.Size(shape).numel() for shape in self._ins]
        count = sum(torch.Size(shape).numel() for shape in self._outs)
        output = problem.outputs[0]
        like = torch.empty((), dtype=output.dtype, device=output.device)
        differentiable = problem.options.create_graph
        shape = (count, sum(self._sizes))
        super().__init__(shape, like, differentiable=differentiable)

    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`."""
        parts = tangents.T.split(self._sizes, dim=1)
        pairs = zip(parts, self._ins, strict=True)
        seeds = tuple(part.reshape(-1, *shape) for part, shape in pairs)
        samples = self._problem.sample_count
        rows = [p.reshape(p.shape[0], samples, -1) for p in self._jvps(seeds)]
        return torch.cat(rows, dim=2).flatten(1).T

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`."""
        apart = cotangents.T.unflatten(1, (self._problem.sample_count, -1))
        sizes = [spec.size for spec in self._problem.outputs]
        pairs = zip(apart.split(sizes, dim=2), self._outs, strict=True)
        seeds = tuple(part.reshape(-1, *shape) for part, shape in pairs)
        products = self._vjps(seeds)
        return torch.cat([p.reshape(p.shape[0], -1) for p in products], dim=1).T


class Linearization:
    """A method's linear map, all samples one point, in the context it was made in."""

    def __init__(self, problem: Problem, bound: BoundFunction, method: Method) -> None:
        self._problem, self._bound, self._method = problem, bound, method
        with execution_context(problem, bound, method) as ready:
            point = first_point(problem, ready, method)
            self._linear_map = linearize(method.strategy, point)

    def __call__(self, seeds: Tensors) -> Tensors:
        """Map `m` seeds to products, as many at a time as the strategy takes."""
        create_graph = self._problem.options.create_graph
        callee = self._bound.callee
        refuse_lost_derivatives(callee, seeds, create_graph=create_graph)
        count = seeds[0].shape[0]
        size = self._method.block_size or count
        with execution_context(self._problem, self._bound, self._method):
            each = [
                self._linear_map(tuple(seed[i : i + size] for seed in seeds))
                for i in range(0, count, size)
            ]
        products = (
            parts[0] if len(parts) == 1 else torch.cat(parts)
            for parts in zip(*each, strict=True)
        )
        if create_graph:
            return tuple(products)
        # The gradient that a second-order method differentiates has a graph.
        return tuple(product.detach() for product in products)
