"""J as two maps: tangents pushed by one strategy, cotangents pulled by another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.errors import NoStrategyError
from jacengine.interface import (
    Action,
    Pullback,
    Pushforward,
    Strategy,
)
from jacengine.measure import seconds
from jacengine.operators.backend import Backend
from jacengine.problems.call import Call
from jacengine.problems.problem import Problem
from jacengine.products.accumulate import linearized, settled
from jacengine.products.batching import Batching, points
from jacengine.products.method import Method
from jacengine.selection.classify import classify
from jacengine.selection.truth import Truth

ROUNDS = 3
"""Products that a strategy is timed on, the first of them to warm up."""
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Relative error of a random projection `u^T J v`; of others, `COARSE`."""
COARSE = 5e-2


class MatrixFree(Backend):
    """Products by the fastest strategies that are right.

    Columns are the entries of the inputs, one input after the other; rows those of the
    outputs, sample by sample.
    """

    def __init__(
        self,
        problem: Problem,
        call: Call,
        truth: Truth,
        strategies: Sequence[Strategy],
        *,
        timed: bool,
    ) -> None:
        """Choose the strategies, and linearize each once.

        Raises:
            NoStrategyError: No strategy pushes, or none pulls.
        """
        self._problem, self._call, self._truth = problem, call, truth
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
        records = problem.options.create_graph
        super().__init__((count, sum(self._sizes)), truth.seeds[0], records=records)
        pushing = [s for s in strategies if isinstance(s, Pushforward)]
        pulling = [s for s in strategies if isinstance(s, Pullback)]
        self._push, self.pushes = self._chosen(pushing, "pushes", timed=timed)
        self._pull, self.pulls = self._chosen(pulling, "pulls", timed=timed)

    def push(self, tangents: Tensor) -> Tensor:
        """Multiply with `(N, m)`."""
        return self._pushed(self._push, tangents)

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M, m)`."""
        return self._pulled(self._pull, cotangents)

    def _pushed(self, action: _Held, tangents: Tensor) -> Tensor:
        parts = tangents.T.split(self._sizes, dim=1)
        seeds = tuple(
            part.reshape(-1, *shape)
            for part, shape in zip(parts, self._ins, strict=True)
        )
        products = action(seeds)
        rows = [p.reshape(p.shape[0], self._samples, -1) for p in products]
        return torch.cat(rows, dim=2).flatten(1).T

    def _pulled(self, action: _Held, cotangents: Tensor) -> Tensor:
        apart = cotangents.T.unflatten(1, (self._samples, -1))
        sizes = [leaf.size for leaf in self._problem.outputs]
        seeds = tuple(
            part.reshape(-1, *shape)
            for part, shape in zip(apart.split(sizes, dim=2), self._outs, strict=True)
        )
        products = action(seeds)
        return torch.cat([p.reshape(p.shape[0], -1) for p in products], dim=1).T

    @property
    def _samples(self) -> int:
        return self._problem.sample_count

    def _chosen(
        self, strategies: Sequence[Strategy], does: str, *, timed: bool
    ) -> tuple[_Held, str]:
        """Find the fastest strategy that is right, and what it is called."""
        best: tuple[float, _Held, str] | None = None
        reasons: list[str] = []
        for strategy in strategies:
            refusal = strategy.check(self._problem)
            if refusal is not None:
                reasons.append(f"{strategy.name}: {refusal.reason}")
                continue
            try:
                held = _Held(self._problem, self._call, strategy)
                right = self._right(held, forward=isinstance(strategy, Pushforward))
                taken = self._time(held, strategy) if timed and right else 0.0
            except Exception as error:
                reasons.append(f"{strategy.name}: {classify(error)[1]}")
                continue
            if not right:
                reasons.append(f"{strategy.name}: wrong")
            elif best is None or taken < best[0]:
                best = (taken, held, strategy.name)
        if best is None:
            raise NoStrategyError(
                f"No strategy {does} through this function: {'; '.join(reasons)}."
            )
        return best[1], best[2]

    def _right(self, held: _Held, *, forward: bool) -> bool:
        """Compare one product with plain reverse mode."""
        truth, problem = self._truth, self._problem
        if not forward:
            found = tuple(product.squeeze(0) for product in held(_lifted(truth.seeds)))
            single = tuple(
                p if leaf.batch_dim is not None else p.unsqueeze(0)
                for p, leaf in zip(found, problem.inputs, strict=True)
            )
            return truth.judge_products(problem, single).right
        v = torch.randn(
            self.shape[1], 1, generator=torch.Generator().manual_seed(0)
        ).to(self.like)
        product = self._pushed(held, v).flatten()
        cotangent = torch.cat(
            [u.reshape(self._samples, -1) for u in truth.seeds], dim=1
        ).flatten()
        wanted = torch.cat([g.flatten() for g in truth.products]) * v.flatten()
        got = cotangent.to(product) * product.detach()
        scale = max(float(wanted.norm()), float(got.norm()))
        allowed = TOLERANCE.get(truth.dtype, COARSE) * scale
        return abs(float(wanted.sum()) - float(got.sum())) <= allowed

    def _time(self, held: _Held, strategy: Strategy) -> float:
        shapes = self._ins if isinstance(strategy, Pushforward) else self._outs
        seeds = tuple(self.like.new_ones(1, *shape) for shape in shapes)
        device = self._problem.outputs[0].device
        return min(seconds(lambda: held(seeds), device) for _ in range(ROUNDS))


class _Held:
    """A linearization that is kept, and called under the settings it was made in."""

    def __init__(self, problem: Problem, call: Call, strategy: Strategy) -> None:
        joint = Batching.NONE if problem.batch_size is None else Batching.JOINT
        self._problem, self._call = problem, call
        self._method = Method(strategy, joint)
        with settled(problem, call, self._method) as ready:
            point, _ = next(points(problem, ready, joint, None))
            self._action: Action = linearized(strategy, point)

    def __call__(self, seeds: Tensors) -> Tensors:
        strategy = self._method.strategy
        with settled(self._problem, self._call, self._method):
            if not strategy.single:
                return self._action(seeds)
            each = [
                self._action(tuple(seed[i : i + 1] for seed in seeds))
                for i in range(seeds[0].shape[0])
            ]
        return tuple(torch.cat(parts) for parts in zip(*each, strict=True))


def _lifted(cotangents: Tensors) -> Tensors:
    return tuple(cotangent.unsqueeze(0) for cotangent in cotangents)
