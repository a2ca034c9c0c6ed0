"""The one loop over directions: seeds to products to their place in the result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import address_of, tensors_of
from jacengine._torchfunc import Tensors
from jacengine.errors import StrategyError
from jacengine.execution.compiled import CompiledSweep
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import linearize, points
from jacengine.execution.method import Execution, Method
from jacengine.execution.pattern_check import refuse_outside
from jacengine.interface import LinearMap, Point
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import SPARSE, Problem
from jacengine.results.buffer_pool import BufferPool
from jacengine.results.dense import DenseResult, PreallocatedResult
from jacengine.results.diagonal import DiagonalResult, TraceResult
from jacengine.results.diagonal_indices import DiagonalIndices
from jacengine.results.differentiable import DifferentiableResult
from jacengine.results.huge_pages import LARGE, allocate
from jacengine.results.result import Blocks, Result
from jacengine.results.result_layout import ResultLayout
from jacengine.results.sparse import SparseResult
from jacengine.seeding.samples import SamplePolicy
from jacengine.task import Task, balanced

KEPT_SEEDS = 2**22
"""Bytes of seeds that a sweep of one block keeps for further runs."""

Progress = Callable[[Task, float], None]
"""Called after each task with the share of the work that is done; may raise to stop."""


class Sweep:
    """A method made ready for a problem: whatever does not depend on the arguments.

    Seeds are built once and kept where they are small.

    Attributes:
        method: The method.
    """

    def __init__(
        self, problem: Problem, method: Method, *, on_fake_tensors: bool = False
    ) -> None:
        """Prepare a method for a problem.

        Fake tensors have no memory to adopt and no values to choose seeds or entries
        by: for those, seeds and indices are built now.
        """
        self._problem = problem
        self.method = method
        self._on_fake_tensors = on_fake_tensors
        coupled = method.sample_policy is SamplePolicy.COUPLED_ROWS
        self._layout = ResultLayout(problem, coupled=coupled)
        self._indices = None if problem.part == "whole" else DiagonalIndices(problem)
        self._seeding = method.seeds(problem)
        self._blocks = tuple(balanced(self._seeding.count, method.block_size))
        self._kept: dict[int, Tensors] = {}
        # More than one block's seeds would be memory that no prediction knows of.
        self._keeps = len(self._blocks) == 1 and self._seeding.bytes <= KEPT_SEEDS
        self._large = problem.result_bytes >= LARGE
        self._sparse = problem.options.layout in SPARSE
        self._indices_bytes = 0
        self._compiled: CompiledSweep | None = None
        if method.execution is Execution.COMPILED and not on_fake_tensors:
            eager = replace(method, execution=Execution.EAGER)
            traced = Sweep(problem, eager, on_fake_tensors=True)
            self._compiled = CompiledSweep(problem, traced.run)
        if self._compiled is None:
            self._indices_bytes = self._seeding.prepare(self._blocks, self._layout)
        if on_fake_tensors:
            self._kept = dict(enumerate(map(self._seeding.seeds, self._blocks)))
            if self._indices is not None and method.capabilities.mode != "trace":
                for block in self._blocks:
                    self._indices.of_block(block, method.capabilities.mode)

    @property
    def compiled(self) -> bool:
        """Whether it runs as a compiled program."""
        return self._compiled is not None

    @property
    def kept_bytes(self) -> int:
        """The size of the seeds and indices that are kept for further runs."""
        return self._indices_bytes + (self._seeding.bytes if self._keeps else 0)

    @property
    def seeded(self) -> tuple[TensorSpec, ...]:
        """The tensors that seeds belong to."""
        return self._seeding.specs

    def run(
        self,
        bound: BoundFunction,
        *,
        out: Any = None,
        progress: Progress | None = None,
        checked: bool = False,
        pool: BufferPool | None = None,
    ) -> Result:
        """Compute the Jacobian.

        Args:
            bound: The function at the arguments to compute it at.
            out: Preallocated result, nested as the user has it, to write into.
            progress: Called after each task.
            checked: Whether to compare the products' shapes with the contract.
            pool: Where the result's memory comes from; `None`: it is new.

        Raises:
            PatternError: J has a nonzero outside of its sparsity pattern.
        """
        problem = self._problem
        if self._compiled is not None:
            with torch.inference_mode(mode=False):
                return self._of(self._compiled(bound, self._targets(out, pool)))
        context = execution_context(
            self._problem, bound, self.method, on_fake_tensors=self._on_fake_tensors
        )
        with context as ready:
            result = self._result(ready, out, pool)
            for point, samples in points(self._problem, ready, self.method):
                linear_map = linearize(self.method.strategy, point)
                for number, block in enumerate(self._blocks):
                    task = Task(samples, block)
                    expected = self._product_shapes(point, task) if checked else None
                    self._run_task(
                        task, self._seeds(number), linear_map, result, expected
                    )
                    if progress is not None:
                        progress(task, self._share_done(task))
            result.finish()
            if result.outside and not self._on_fake_tensors:
                refuse_outside(problem, result.outside)
            return result

    def compile(self, bound: BoundFunction) -> None:
        """Compile for such a call, if it runs compiled; the first call verifies.

        Raises:
            RuntimeError: It cannot be compiled, or what the function itself raises.
        """
        if self._compiled is not None:
            with torch.inference_mode(mode=False):
                self._compiled.compile(bound, self._targets(None, None))

    def run_guarded(
        self,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        pool: BufferPool | None,
    ) -> Any:
        """Compute the Jacobian by a compiled program whose guards a call passes.

        Returns:
            It, nested as the user expects it; `None` if there is no such program.
        """
        compiled = self._compiled
        if compiled is None or torch.is_inference_mode_enabled():
            return None
        into = self._targets(None, pool)
        blocks = compiled.run_guarded(fn, args, kwargs, into)
        return None if blocks is None else self._of(blocks).nested()

    def _run_task(
        self,
        task: Task,
        seeds: Tensors,
        linear_map: LinearMap,
        result: Result,
        expected: list[tuple[int, ...]] | None,
    ) -> None:
        """Run one task: seeds (of all samples) to products to their place.

        A function of its own, so that its products are freed before the next ones are
        computed. These must be of the `expected` shapes, unless that is `None`.
        """
        seeds = self._seeding.of_samples(seeds, task.sample_count)
        target = None
        if self.method.capabilities.writes_out:
            target = self._seeding.target(task, result)
        products = (
            linear_map(seeds) if target is None else linear_map(seeds, out=target)
        )
        if expected is not None:
            _check_shapes(products, expected)
        if target is None:
            self._seeding.place(products, task, result)

    def _result(
        self, bound: BoundFunction, out: Any, pool: BufferPool | None
    ) -> Result:
        """Begin a result of the problem's kind."""
        problem, layout = self._problem, self._layout
        if self._indices is not None:
            kind = TraceResult if problem.part == "trace" else DiagonalResult
            return kind(layout, self._indices, out=out)
        if self._sparse:
            return SparseResult(layout, out)
        if out is not None:
            return PreallocatedResult(layout, out)
        if problem.options.create_graph:
            return DifferentiableResult(layout)
        adopts = self.method.capabilities.trusted and not self._on_fake_tensors
        in_use = functools.cache(lambda: self._in_use(bound)) if adopts else None
        return DenseResult(layout, in_use=in_use, pool=pool)

    def _of(self, blocks: Blocks) -> Result:
        """Return the result with these blocks."""
        kind = SparseResult if self._sparse else Result
        result = kind(self._layout)
        result.blocks = blocks
        return result

    def _targets(self, out: Any, pool: BufferPool | None) -> Tensors:
        """Return where a compiled program writes; nothing, if it makes the blocks.

        Large blocks are allocated here, in huge pages.
        """
        blocks = self._layout.blocks
        if self._sparse:
            return () if out is None else (SparseResult(self._layout, out).target,)
        if out is not None:
            given = self._layout.blocks_of(out)
            return tuple(given[key] for key in blocks)
        if not self._large:
            return ()
        make = allocate if pool is None else pool.allocate
        return tuple(
            make(block.shape, dtype=block.dtype, device=block.device)
            for block in blocks.values()
        )

    def _seeds(self, number: int) -> Tensors:
        if number in self._kept:
            return self._kept[number]
        seeds = self._seeding.seeds(self._blocks[number])
        if self._keeps:
            self._kept[number] = seeds
        return seeds

    def _share_done(self, task: Task) -> float:
        """Return the share of the work that ends with a task."""
        count = self._seeding.count
        done = task.samples.start * count + task.sample_count * task.block.stop
        return float(done) / max(1, self._problem.sample_count * count)

    def _in_use(self, bound: BoundFunction) -> set[int]:
        """Return the storages that a result must not share: the user's, kept seeds."""
        held = tensors_of(bound.callee.modules)
        held += [leaf for leaf in bound.leaves if isinstance(leaf, Tensor)]
        held += [seed for seeds in self._kept.values() for seed in seeds]
        return {address for t in held if (address := address_of(t)) is not None}

    def _product_shapes(self, point: Point, task: Task) -> list[tuple[int, ...]]:
        """Return the shapes of a task's products."""
        problem, able = self._problem, self.method.capabilities
        samples = () if point.batch_size is None else (point.batch_size,)
        if able.mode == "trace":
            return [(*samples, *spec.shape) for spec in problem.values]
        if able.mode == "direct":
            lead = (sum(spec.size for spec in problem.outputs), *samples)
            return [(*lead, *spec.shape) for spec in problem.inputs]
        lead = (task.direction_count, *samples)
        if able.mode == "jvp":
            return [(*lead, *spec.shape) for spec in problem.outputs]
        if able.per_sample_shared or point.over_samples is not None:
            return [(*lead, *spec.shape) for spec in problem.inputs]
        return [(task.direction_count, *primal.shape) for primal in point.primals]


def _check_shapes(products: object, expected: list[tuple[int, ...]]) -> None:
    """Compare the shapes of a strategy's products with the contract.

    Raises:
        StrategyError: They are others, or no tuple of tensors.
    """
    got: object = type(products).__name__
    if isinstance(products, tuple):
        got = [
            tuple(p.shape) if isinstance(p, Tensor) else type(p).__name__
            for p in products
        ]
    if got != expected:
        raise StrategyError(
            f"The strategy returned products of shape {got}; expected {expected}."
        )


def compute(
    problem: Problem, bound: BoundFunction, method: Method, *, checked: bool = False
) -> Result:
    """Compute a Jacobian once by a method; see `Sweep.run`."""
    return Sweep(problem, method).run(bound, checked=checked)


def prepare(
    problem: Problem, bound: BoundFunction, method: Method, *, timed: bool
) -> Method:
    """Let a strategy do once what it can do for all calls of one signature.

    The arguments are an example. If `timed`, it may make choices by measurement.

    Returns:
        The method with the prepared strategy and its tuning.
    """
    if not method.capabilities.tunable:
        return method
    strategy, tuning = method.strategy, method.tuning
    with execution_context(problem, bound, method) as ready:
        seen: set[int] = set()
        for point, samples in points(problem, ready, method):
            # Slices have one size or two; each is an example for all of its size.
            if samples.stop - samples.start not in seen:
                strategy, tuning = strategy.prepare(point, tuning, timed=timed)
                seen.add(samples.stop - samples.start)
    return replace(method, strategy=strategy, tuning=tuning)
