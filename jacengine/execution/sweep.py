"""A method made ready for a problem: run at points, one loop over directions a side."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import address_of, tensors_of
from jacengine._torchfunc import Tensors
from jacengine.execution.compiled import CompiledSweep
from jacengine.execution.direction_loop import DirectionLoop, Progress
from jacengine.execution.execution_context import execution_context
from jacengine.execution.linearize import points
from jacengine.execution.method import Execution, Method
from jacengine.execution.pattern_check import refuse_outside
from jacengine.execution.primal_values import PrimalValues
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
from jacengine.task import Task


class Sweep:
    """A method made ready for a problem: whatever does not depend on the arguments.

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
        self._loops = [DirectionLoop(problem, side) for side in method.sides]
        self._large = problem.result_bytes >= LARGE
        self._sparse = problem.options.layout in SPARSE
        self._compiled: CompiledSweep | None = None
        if method.execution is Execution.COMPILED and not on_fake_tensors:
            eager = replace(method, execution=Execution.EAGER)
            traced = Sweep(problem, eager, on_fake_tensors=True)
            self._compiled = CompiledSweep(problem, traced.run)
        for loop in self._loops:
            if self._compiled is None:
                loop.prepare(self._layout)
            if on_fake_tensors:
                loop.keep_all()
                if self._indices is not None and method.capabilities.mode != "trace":
                    for block in loop.blocks:
                        self._indices.of_block(block, method.capabilities.mode)

    @property
    def compiled(self) -> bool:
        """Whether it runs as a compiled program."""
        return self._compiled is not None

    @property
    def kept_bytes(self) -> int:
        """The size of the seeds and indices that are kept for further runs."""
        return sum(loop.kept_bytes for loop in self._loops)

    @property
    def seeded(self) -> tuple[TensorSpec, ...]:
        """The tensors that seeds belong to."""
        return self._loops[0].seeding.specs

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
                return self._of(*self._compiled(bound, self._targets(out, pool)))
        result: Result | None = None
        values = PrimalValues(problem) if problem.options.with_value else None
        for loop in self._loops:
            context = execution_context(
                problem, bound, loop.method, on_fake_tensors=self._on_fake_tensors
            )
            with context as ready:
                if result is None:
                    result = self._result(ready, out, pool)
                loop.run(
                    ready,
                    result,
                    self._progress_of(loop, progress),
                    checked=checked,
                    values=values,
                )
                if loop is self._loops[-1]:
                    result.finish()
                    if values is not None:
                        result.values = values.finish(ready)
        assert result is not None
        if result.outside and not self._on_fake_tensors:
            refuse_outside(problem, result.outside)
        return result

    def _progress_of(
        self, loop: DirectionLoop, progress: Progress | None
    ) -> Progress | None:
        """Return what tells the share of all loops that is done, during one."""
        if progress is None or len(self._loops) == 1:
            return progress
        counts = [one.seeding.count for one in self._loops]
        total, before = sum(counts), sum(counts[: self._loops.index(loop)])

        def of_all(task: Task, done: float) -> None:
            progress(task, (before + done * loop.seeding.count) / total)

        return of_all

    def trace(self, bound: BoundFunction) -> Callable[[], None]:
        """Trace for such a call, if it runs compiled; the first call verifies.

        Returns:
            What compiles, on any thread.

        Raises:
            RuntimeError: It cannot be traced, or what the function itself raises.
        """
        if self._compiled is None:
            raise RuntimeError("this sweep is not compiled")
        with torch.inference_mode(mode=False):
            return self._compiled.trace(bound, self._targets(None, None))

    def fits(self, bound: BoundFunction, out: Any) -> bool:
        """Tell whether nothing has to be compiled for a call."""
        if self._compiled is None:
            return True
        into = out is not None or (self._large and not self._sparse)
        return self._compiled.fits(bound, into=into)

    def run_guarded(
        self,
        fn: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        pool: BufferPool | None,
    ) -> Result | None:
        """Compute the Jacobian by a compiled program whose guards a call passes.

        Returns:
            It; `None` if there is no such program.
        """
        compiled = self._compiled
        if compiled is None or torch.is_inference_mode_enabled():
            return None
        into = self._targets(None, pool)
        found = compiled.run_guarded(fn, args, kwargs, into)
        return None if found is None else self._of(*found)

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

    def _of(self, blocks: Blocks, values: Tensors) -> Result:
        """Return the result with these blocks."""
        kind = SparseResult if self._sparse else Result
        result = kind(self._layout)
        result.blocks, result.values = blocks, values
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

    def _in_use(self, bound: BoundFunction) -> set[int]:
        """Return the storages that a result must not share: the user's, kept seeds."""
        held = tensors_of(bound.callee.modules)
        held += [leaf for leaf in bound.leaves if isinstance(leaf, Tensor)]
        kept = [seeds for loop in self._loops for seeds in loop.kept.values()]
        held += [seed for seeds in kept for seed in seeds]
        return {address for t in held if (address := address_of(t)) is not None}


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
    if method.other is not None:
        other = prepare(problem, bound, method.other, timed=timed)
        method = replace(method, other=other)
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
