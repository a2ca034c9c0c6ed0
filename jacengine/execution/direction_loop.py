"""The one loop over directions: seeds to products to their place in the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.errors import StrategyError
from jacengine.execution.linearize import linearize, points
from jacengine.execution.method import Method
from jacengine.execution.primal_values import PrimalValues
from jacengine.interface import LinearMap, Point
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.task import Task, balanced

KEPT_SEEDS = 2**22
"""Bytes of seeds that a loop of one block keeps for further runs."""

Progress = Callable[[Task, float], None]
"""Called after each task with the share of the work that is done; may raise to stop."""


class DirectionLoop:
    """The directions of one method, made ready for a problem.

    Seeds are built once and kept where they are small.

    Attributes:
        method: The method.
        blocks: The directions of each call of its linear map.
        seeding: The directions.
        kept: Seeds that are kept, by the number of the block.
    """

    def __init__(self, problem: Problem, method: Method) -> None:
        """Prepare the directions of a method."""
        self._problem = problem
        self.method = method
        self.seeding = method.seeds(problem)
        self.blocks = tuple(balanced(self.seeding.count, method.block_size))
        self.kept: dict[int, Tensors] = {}
        # More than one block's seeds would be memory that no prediction knows of.
        self._keeps = len(self.blocks) == 1 and self.seeding.bytes <= KEPT_SEEDS
        self._indices_bytes = 0

    @property
    def kept_bytes(self) -> int:
        """The size of the seeds and indices that are kept for further runs."""
        return self._indices_bytes + (self.seeding.bytes if self._keeps else 0)

    def prepare(self, layout: ResultLayout) -> None:
        """Build the indices that every run needs."""
        self._indices_bytes = self.seeding.prepare(self.blocks, layout)

    def keep_all(self) -> None:
        """Build all seeds now."""
        self.kept = dict(enumerate(map(self.seeding.seeds, self.blocks)))

    def run(
        self,
        bound: BoundFunction,
        result: Result,
        progress: Progress | None,
        *,
        checked: bool,
        values: PrimalValues | None = None,
    ) -> None:
        """Compute the products with all directions, and place them.

        Args:
            bound: The function, in the context of the method.
            result: Where they go.
            progress: Called after each task.
            checked: Whether to compare the products' shapes with the contract.
            values: What collects the values of the function.
        """
        if values is not None:
            bound = replace(bound, observer=values)
        for point, samples in points(self._problem, bound, self.method):
            if values is not None:
                values.begin(samples)
            linear_map = linearize(self.method.strategy, point)
            for number, block in enumerate(self.blocks):
                task = Task(samples, block)
                expected = self._product_shapes(point, task) if checked else None
                self._run_task(task, self._seeds(number), linear_map, result, expected)
                if progress is not None:
                    progress(task, self._share_done(task))

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
        seeds = self.seeding.of_samples(seeds, task.sample_count)
        target = None
        if self.method.capabilities.writes_out:
            target = self.seeding.target(task, result)
        products = (
            linear_map(seeds) if target is None else linear_map(seeds, out=target)
        )
        if expected is not None:
            _check_shapes(products, expected)
        if target is None:
            self.seeding.place(products, task, result)

    def _seeds(self, number: int) -> Tensors:
        if number in self.kept:
            return self.kept[number]
        seeds = self.seeding.seeds(self.blocks[number])
        if self._keeps:
            self.kept[number] = seeds
        return seeds

    def _share_done(self, task: Task) -> float:
        """Return the share of the work that ends with a task."""
        count = self.seeding.count
        done = task.samples.start * count + task.sample_count * task.block.stop
        return float(done) / max(1, self._problem.sample_count * count)

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
