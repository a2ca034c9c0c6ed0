"""No seeds: the one direction of strategies that form all of J by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.problem.call_spec import TensorSpec
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.task import Task


@dataclass(frozen=True)
class WholeMatrix:
    """One direction, whose product is all rows.

    Attributes:
        rows: Which rows are wanted, of one sample; `None`: all.
        row_count: How many these are.
        specs: No tensors have seeds.
        count: The one direction.
        bytes: What no seeds take.
    """

    rows: Tensor | None
    row_count: int
    specs: tuple[TensorSpec, ...] = ()
    count: int = 1
    bytes: int = 0

    @property
    def check_bytes(self) -> int:
        """What no check takes."""
        return 0

    def prepare(self, blocks: Sequence[slice], layout: ResultLayout) -> int:
        """Build nothing."""
        del blocks, layout
        return 0

    def seeds(self, block: slice) -> Tensors:
        """Return none."""
        del block
        return ()

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        """Return none."""
        del count
        return seeds

    def target(self, task: Task, result: Result) -> Tensors | None:
        """Return `None`: the product is placed."""
        del task, result
        return None

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Place the rows of a task's samples."""
        if self.rows is not None:
            rows = self.rows
            products = tuple(p.index_select(0, rows.to(p.device)) for p in products)
        result.add_rows(products, Task(task.samples, slice(0, self.row_count)))

    def missing_bytes(self, count: int) -> int:
        """Return zero: there are no seeds."""
        del count
        return 0
