"""The standard basis: direction `k` is column `k` (tangents) or row `k` (cotangents).

With independent samples the same seed serves every sample, as a view that takes no
memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.basis import one_hot
from jacengine.interface import Mode
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import Seeding
from jacengine.seeding.whole_matrix import WholeMatrix
from jacengine.task import Task


@dataclass(frozen=True)
class OneHotSeeds:
    """Seeds that select one entry each.

    Attributes:
        specs: The tensors that seeds belong to: inputs (tangents) or outputs
            (cotangents).
        samples: The length of each tensor's sample axis, `None` where it has none.
        entries: The entry, over all tensors flattened, that each direction selects.
    """

    specs: tuple[TensorSpec, ...]
    samples: tuple[int | None, ...]
    entries: Tensor | range

    @property
    def count(self) -> int:
        """The number of directions."""
        return len(self.entries)

    @property
    def bytes(self) -> int:
        """The memory of all seeds together."""
        return sum(self.count * spec.size * spec.dtype.itemsize for spec in self.specs)

    @property
    def check_bytes(self) -> int:
        """What no check takes."""
        return 0

    def prepare(self, blocks: Sequence[slice], layout: ResultLayout) -> int:
        """Build nothing."""
        del blocks, layout
        return 0

    def seeds(self, block: slice) -> Tensors:
        """Build the seeds of a block of directions."""
        return tuple(
            seed
            if samples is None
            else seed.unsqueeze(1).expand(seed.shape[0], samples, *spec.shape)
            for seed, samples, spec in zip(
                one_hot(self.specs, self.entries[block]),
                self.samples,
                self.specs,
                strict=True,
            )
        )

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        """Restrict seeds to `count` samples; all samples have the same."""
        return tuple(
            seed if samples in {None, count} else seed[:, :count]
            for seed, samples in zip(seeds, self.samples, strict=True)
        )

    def target(self, task: Task, result: Result) -> Tensors | None:
        """Return `None`: columns of a row-major matrix are not contiguous."""
        del task, result
        return None

    def missing_bytes(self, count: int) -> int:
        """Return the bytes of a seed that the first `count` directions do not have."""
        some = self.entries[:count]
        last = max(some.tolist() if isinstance(some, Tensor) else some, default=0)
        missing, start = 0, 0
        for spec in self.specs:
            if start > last:
                missing += spec.size * spec.dtype.itemsize
            start += spec.size
        return missing


class TangentBasis(OneHotSeeds):
    """Tangents of input entries; a product is a column."""

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Place columns."""
        result.add_columns(products, task)


class CotangentBasis(OneHotSeeds):
    """Cotangents of output entries; a product is a row."""

    def target(self, task: Task, result: Result) -> Tensors | None:
        """Return the rows of a task in the result, where they are contiguous."""
        return result.rows_view(task)

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Place rows."""
        result.add_rows(products, task)


class SummedBasis(OneHotSeeds):
    """Tangents of input entries, over which a strategy sums by itself."""

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Add the sums of a block."""
        result.add_sums(products, task)


@dataclass(frozen=True)
class Basis:
    """One direction for each entry: of one sample, and the same for all of them."""

    name: ClassVar[str] = "basis"

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        """Return the columns or rows that are to be computed, as directions."""
        if mode == "direct":
            return WholeMatrix(problem.rows, problem.row_count)
        coupled = policy is SamplePolicy.COUPLED_ROWS
        batch = None if coupled else problem.batch_size
        if mode != "vjp":
            kind = SummedBasis if mode == "trace" else TangentBasis
            per_input = (None if i.batch_dim is None else batch for i in problem.inputs)
            entries = _every(problem.columns, problem.column_count)
            return kind(problem.inputs, tuple(per_input), entries)
        entries = _every(problem.rows, problem.row_count)
        outputs = problem.outputs
        if not coupled:
            return CotangentBasis(outputs, (batch,) * len(outputs), entries)
        size = problem.sample_count
        whole = tuple(replace(spec, shape=(size, *spec.shape)) for spec in outputs)
        if isinstance(entries, Tensor):
            entries = _of_every_sample(outputs, entries, size)
        else:
            entries = range(size * len(entries))
        return CotangentBasis(whole, (None,) * len(whole), entries)

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        """Return the problem of the first columns or rows."""
        if mode == "direct":
            return problem
        if mode == "vjp":
            rows = _every(problem.rows, problem.row_count)[:count]
            return replace(
                problem, rows=torch.as_tensor(rows, dtype=torch.int64, device="cpu")
            )
        columns = _every(problem.columns, problem.column_count)[:count]
        return replace(
            problem, columns=torch.as_tensor(columns, dtype=torch.int64, device="cpu")
        )


def _every(chosen: Tensor | None, count: int) -> Tensor | range:
    return range(count) if chosen is None else chosen


def _of_every_sample(
    outputs: Sequence[TensorSpec], rows: Tensor, batch_size: int
) -> Tensor:
    """Find entry `(b, r)` among all outputs of the whole batch flattened."""
    sample = torch.arange(batch_size, device="cpu").unsqueeze(1)
    found = torch.zeros(batch_size, rows.numel(), dtype=torch.int64, device="cpu")
    offset = 0
    for spec in outputs:
        inside = (rows >= offset) & (rows < offset + spec.size)
        entry = offset * batch_size + sample * spec.size + (rows - offset)
        found = torch.where(inside, entry, found)
        offset += spec.size
    return found.flatten()
