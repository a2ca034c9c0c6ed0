"""J as two maps: tangents pushed by one strategy, cotangents pulled by another."""

from __future__ import annotations

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearized
from jacengine.execution.method import Method
from jacengine.interface import Action, Strategy
from jacengine.linear_operators.linear_map import Backend
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy, points


class MatrixFree(Backend):
    """Products by linearizations that are kept, `m` directions at a time.

    Columns are the entries of the inputs, one input after the other; rows those of the
    outputs, sample by sample.
    """

    def __init__(
        self, problem: Problem, push: Linearization, pull: Linearization
    ) -> None:
        """Join what pushes and what pulls."""
        self._problem, self._push, self._pull = problem, push, pull
        samples = problem.batch_size
        self._ins = [
            leaf.shape if leaf.batch_dim is None else (samples or 1, *leaf.shape)
            for leaf in problem.inputs
        ]
        self._outs = [
            leaf.shape if samples is None else (samples, *leaf.shape)
            for leaf in problem.outputs
        ]
        self._sizes = [torch.Size(shape).numel() for shape in self._ins]
        count = sum(torch.Size(shape).numel() for shape in self._outs)
        output = problem.outputs[0]
        like = torch.empty((), dtype=output.dtype, device=output.device)
        records = problem.options.create_graph
        super().__init__((count, sum(self._sizes)), like, records=records)

    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`."""
        parts = tangents.T.split(self._sizes, dim=1)
        seeds = tuple(
            part.reshape(-1, *shape)
            for part, shape in zip(parts, self._ins, strict=True)
        )
        samples = self._problem.sample_count
        rows = [p.reshape(p.shape[0], samples, -1) for p in self._push(seeds)]
        return torch.cat(rows, dim=2).flatten(1).T

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`."""
        apart = cotangents.T.unflatten(1, (self._problem.sample_count, -1))
        sizes = [leaf.size for leaf in self._problem.outputs]
        seeds = tuple(
            part.reshape(-1, *shape)
            for part, shape in zip(apart.split(sizes, dim=2), self._outs, strict=True)
        )
        products = self._pull(seeds)
        return torch.cat([p.reshape(p.shape[0], -1) for p in products], dim=1).T


class Linearization:
    """A strategy's action at a point, called under the settings it was made in."""

    def __init__(
        self, problem: Problem, bound: BoundFunction, strategy: Strategy
    ) -> None:
        """Linearize a call, with all samples as one point."""
        kind = (
            SamplePolicy.NONE
            if problem.batch_size is None
            else SamplePolicy.COUPLED_ROWS
        )
        self._problem, self._call = problem, bound
        self._method = Method(strategy, kind)
        with execution_context(problem, bound, self._method) as ready:
            point, _ = next(points(problem, ready, strategy, kind, None))
            self._action: Action = linearized(strategy, point)

    def __call__(self, seeds: Tensors) -> Tensors:
        """Map `m` seeds to products, one by one if the strategy takes single ones."""
        size = 1 if self._method.strategy.single else seeds[0].shape[0]
        with execution_context(self._problem, self._call, self._method):
            each = [
                self._action(tuple(seed[i : i + size] for seed in seeds))
                for i in range(0, seeds[0].shape[0], size)
            ]
        products = (
            parts[0] if len(parts) == 1 else torch.cat(parts)
            for parts in zip(*each, strict=True)
        )
        if self._problem.options.create_graph:
            return tuple(products)
        # The gradient that a second-order strategy differentiates has a graph.
        return tuple(product.detach() for product in products)
