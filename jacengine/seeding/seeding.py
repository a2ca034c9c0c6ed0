"""The interface of a seeding: seeds, and the placement of their products, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from jacengine._torchfunc import Tensors
from jacengine.interface import Mode
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding.samples import SamplePolicy
from jacengine.task import Task


class Seeding(Protocol):
    """The directions of one sweep, of a problem and a mode."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The tensors that seeds belong to: inputs (tangents) or outputs."""
        ...

    @property
    def count(self) -> int:
        """The number of directions."""
        ...

    @property
    def bytes(self) -> int:
        """The memory of all seeds together."""
        ...

    @property
    def check_bytes(self) -> int:
        """What it takes to check the result of one sample after the last direction."""
        ...

    def prepare(self, blocks: Sequence[slice], layout: ResultLayout) -> int:
        """Build the indices that every run needs; return how many bytes they have."""
        ...

    def seeds(self, block: slice) -> Tensors:
        """Build the seeds of a block, `(K, *spec)`, with samples `(K, B, *spec)`."""
        ...

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        """Restrict seeds to `count` samples; all samples have the same."""
        ...

    def target(self, task: Task, result: Result) -> Tensors | None:
        """Return views of the result that a task's products can be written into.

        Returns:
            One view a product; `None` if products have to be placed.
        """
        ...

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Put a task's products where they belong in the result."""
        ...

    def missing_bytes(self, count: int) -> int:
        """Return the bytes of a seed that the first `count` directions do not have.

        Seeds of a tensor that no direction of a block selects an entry of take none.
        """
        ...


class SeedingPolicy(Protocol):
    """How directions are chosen: a frozen value of a method.

    Attributes:
        name: Its name in saved plans.
    """

    name: ClassVar[str]

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        """Return the directions for a problem."""
        ...

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        """Return the part of a problem that its first directions compute.

        Time and memory are probed on it.
        """
        ...
