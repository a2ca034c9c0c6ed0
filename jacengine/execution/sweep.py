"""The one loop: seeds to products to their places in J."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import tensors_of
from jacengine._torchfunc import Tensors
from jacengine.execution.compiled import Compiled
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearized, points
from jacengine.execution.method import Execution, Method
from jacengine.interface import (
    Contraction,
    Curvature,
    Point,
    Pushforward,
    Strategy,
)
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.results.buffer_pool import BufferPool
from jacengine.results.dense import DenseResult, check_products
from jacengine.results.diagonal import Diagonal
from jacengine.results.diagonal_indices import DiagonalIndices
from jacengine.results.huge_pages import LARGE, allocate
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding import samples as sample_policies
from jacengine.seeding.samples import SamplePolicy

KEPT_SEEDS = 2**22
"""Bytes of seeds that a kernel of one block keeps for further calls."""


class Sweep:
    """A method made ready for a problem: what does not depend on the arguments.

    Seeds are built once and kept where they are small.

    Attributes:
        method: The method.
    """

    def __init__(
        self, problem: Problem, method: Method, *, on_fake_tensors: bool = False
    ) -> None:
        """Prepare a method.

        Args:
            problem: What to compute.
            method: How.
            on_fake_tensors: Whether it will run on fake tensors, which have no memory
                to take over and no values to choose seeds by: those are built now.
        """
        self._problem = problem
        self.method = method
        self._simulated = on_fake_tensors
        self._blueprint = ResultLayout(
            problem, joint=method.sample_policy is SamplePolicy.COUPLED_ROWS
        )
        self._places = None if problem.part == "whole" else DiagonalIndices(problem)
        self._seeding = sample_policies.seeding(
            problem, method.strategy, method.sample_policy
        )
        self._blocks = tuple(self._seeding.blocks(method.block_size))
        self._kept: dict[int, Tensors] = {}
        # More than one block's seeds would be memory that no prediction knows of.
        self._keeps = len(self._blocks) == 1 and self._seeding.bytes <= KEPT_SEEDS
        self._compiled: Compiled | None = None
        if method.execution is Execution.COMPILED and not on_fake_tensors:
            eager = replace(method, execution=Execution.EAGER)
            self._compiled = Compiled(
                problem, Sweep(problem, eager, on_fake_tensors=True).run
            )
        if on_fake_tensors:
            self._kept = {
                number: self._seeding.seeds(block)
                for number, block in enumerate(self._blocks)
            }

    @property
    def kept_bytes(self) -> int:
        """The seeds that are kept for further calls."""
        return self._seeding.bytes if self._keeps else 0

    @property
    def seeded(self) -> tuple[TensorSpec, ...]:
        """The tensors that seeds belong to."""
        return self._seeding.leaves

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.method.strategy.name

    def run(
        self,
        bound: BoundFunction,
        *,
        out: Any = None,
        progress: Callable[[float], None] | None = None,
        checked: bool = False,
        reused: BufferPool | None = None,
    ) -> list[list[Tensor]]:
        """Compute the Jacobian.

        Args:
            bound: The function at the arguments to compute it at.
            out: Preallocated result, nested as the user has it, to write into.
            progress: Told the share that is done after each block; may raise to stop.
            checked: Whether to hold the strategy's products to their shapes.
            reused: Where the result's memory comes from; `None`: it is new.

        Returns:
            The blocks of the Jacobian, outputs by inputs; `assembly.nest` nests them.
        """
        problem, method = self._problem, self.method
        if self._compiled is not None:
            with torch.inference_mode(mode=False):
                return self._compiled(bound, self._into(out, reused))
        with execution_context(problem, bound, method) as ready:
            fresh = method.strategy.trusted and not self._simulated
            owned = functools.cache(lambda: self._owned(ready)) if fresh else None
            assembly: DenseResult | Diagonal
            if self._places is None:
                assembly = DenseResult(
                    self._blueprint, out=out, owned=owned, reused=reused
                )
            else:
                assembly = Diagonal(self._blueprint, self._places, out=out)
            for point, samples in points(problem, ready, method):
                advance = self._linearized(point, samples, assembly, checked=checked)
                size = samples.stop - samples.start
                for number, block in enumerate(self._blocks):
                    advance(block, self._seeding.of_samples(self._seeds(number), size))
                    if progress is not None:
                        progress(self._done(samples, block))
            return assembly.finish()

    def _into(self, out: Any, reused: BufferPool | None) -> Tensors:
        """Return where a compiled program writes; nowhere, if it makes the blocks.

        Large ones it does not make: they are worth huge pages.
        """
        blocks = self._blueprint.blocks
        if out is not None:
            given = self._blueprint.given(out)
            return tuple(given[key] for key in blocks)
        if self._problem.result_bytes < LARGE:
            return ()
        room = allocate if reused is None else reused.allocate
        return tuple(
            room(block.shape, dtype=block.dtype, device=block.device)
            for block in blocks.values()
        )

    def _linearized(
        self,
        point: Point,
        samples: slice,
        assembly: DenseResult | Diagonal,
        *,
        checked: bool,
    ) -> Callable[[slice, Tensors], None]:
        """Linearize at a point; return what brings seeds to their place in J."""
        strategy = self.method.strategy
        if isinstance(strategy, Contraction) and isinstance(assembly, DenseResult):
            contract = strategy.linearize(point)

            def contracted(block: slice, seeds: Tensors) -> None:
                into = assembly.rows_view(samples, block)
                products = contract(seeds, into)
                if checked:
                    self._check(products, point, block)
                if into is None:
                    assembly.put_rows(samples, block, products)

            return contracted
        action = linearized(strategy, point)
        if isinstance(strategy, Curvature) and isinstance(assembly, Diagonal):

            def summed(block: slice, seeds: Tensors) -> None:
                products = action(seeds)
                if checked:
                    self._check(products, point, block)
                assembly.put_sums(samples, products)

            return summed
        forward = isinstance(strategy, Pushforward)
        put = assembly.put_columns if forward else assembly.put_rows

        def placed(block: slice, seeds: Tensors) -> None:
            products = action(seeds)
            if checked:
                self._check(products, point, block)
            put(samples, block, products)

        return placed

    def _seeds(self, number: int) -> Tensors:
        if number in self._kept:
            return self._kept[number]
        seeds = self._seeding.seeds(self._blocks[number])
        if self._keeps:
            self._kept[number] = seeds
        return seeds

    def _done(self, samples: slice, block: slice) -> float:
        """Return the share of the work that ends with a block."""
        count = self._seeding.count
        before = samples.start * count
        here = (samples.stop - samples.start) * block.stop
        return float(before + here) / max(1, self._problem.sample_count * count)

    def _owned(self, bound: BoundFunction) -> set[int]:
        """Return the storages that a result must not share: the user's, kept seeds."""
        held = tensors_of(self._problem.modules)
        held += [leaf for leaf in bound.leaves if isinstance(leaf, Tensor)]
        held += [seed for seeds in self._kept.values() for seed in seeds]
        dense = (tensor for tensor in held if tensor.layout == torch.strided)
        return {tensor.untyped_storage().data_ptr() for tensor in dense}

    def _check(self, products: Tensors, point: Point, block: slice) -> None:
        strategy = self.method.strategy
        shapes = _shapes(self._problem, strategy, point)
        if not isinstance(strategy, Curvature):
            shapes = [(block.stop - block.start, *shape) for shape in shapes]
        check_products(products, shapes)


def accumulate(
    problem: Problem,
    bound: BoundFunction,
    method: Method,
    *,
    progress: Callable[[float], None] | None = None,
    checked: bool = False,
) -> list[list[Tensor]]:
    """Compute a Jacobian once by a method; see `Sweep.run`."""
    return Sweep(problem, method).run(bound, progress=progress, checked=checked)


def prepared(
    problem: Problem, bound: BoundFunction, method: Method, *, timed: bool
) -> Method:
    """Let a strategy do once what it can do for all calls of one signature.

    Args:
        problem: What to compute.
        bound: An example of the calls.
        method: How.
        timed: Whether the strategy may make choices by measurement.
    """
    if not isinstance(method.strategy, Contraction):
        return method
    strategy: Contraction = method.strategy
    with execution_context(problem, bound, method) as ready:
        seen: set[int] = set()
        for point, samples in points(problem, ready, method):
            # Slices are of one size or of two; each is an example for all of its size.
            if samples.stop - samples.start not in seen:
                prepare: Any = strategy.prepare
                strategy, _ = prepare(point, (), timed=timed)
                seen.add(samples.stop - samples.start)
    return replace(method, strategy=strategy)


def _shapes(
    problem: Problem, strategy: Strategy, point: Point
) -> list[tuple[int, ...]]:
    """Shapes of a strategy's products, without the axis of directions."""
    samples = () if point.batch_size is None else (point.batch_size,)
    if isinstance(strategy, Pushforward):
        return [(*samples, *leaf.shape) for leaf in problem.outputs]
    if isinstance(strategy, Curvature):
        return [(*samples, *leaf.shape) for leaf in problem.values]
    if isinstance(strategy, Contraction):
        return [(*samples, *leaf.shape) for leaf in problem.inputs]
    if point.over_samples is not None:
        return [(*samples, *leaf.shape) for leaf in problem.inputs]
    return [tuple(primal.shape) for primal in point.primals]
