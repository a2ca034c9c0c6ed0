"""One direction for each colour: columns (or rows) that do not meet share a direction.

The product with a colour's seed holds one entry of each of its columns in every row, so
that it is told which entry it is of by the pattern. An entry outside of the pattern
would be added to another one unnoticed: so one random direction goes with the colours,
and its product is compared with that of the entries found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.interface import Mode
from jacengine.patterns.coloring import Coloring
from jacengine.patterns.pattern import Pattern
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import SPARSE, Problem
from jacengine.results.entries import Entries
from jacengine.results.result import Result
from jacengine.results.result_layout import ResultLayout
from jacengine.seeding.color_check import ColorCheck
from jacengine.seeding.samples import SamplePolicy
from jacengine.seeding.seeding import Seeding
from jacengine.task import Task


class ColoredSeeds:
    """The sums of unit vectors of one colour, and a random direction.

    Attributes:
        specs: The tensors that seeds belong to: inputs or outputs.
        count: The number of directions.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        samples: Sequence[int | None],
        shown: Sequence[TensorSpec],
        pattern: Pattern,
        coloring: Coloring,
        *,
        colors: int,
        check: ColorCheck | None,
    ) -> None:
        """Describe the directions.

        Args:
            specs: The tensors that seeds belong to.
            samples: The length of each tensor's sample axis, `None` where it has none.
            shown: The tensors that products belong to.
            pattern: The entries that a sparse result holds.
            coloring: The colours, and where their products show those entries.
            colors: How many colours are taken.
            check: The random direction that goes with them.
        """
        self.specs, self._samples = tuple(specs), tuple(samples)
        self._lengths = [spec.size for spec in shown]
        self._pattern, self._coloring = pattern, coloring
        self._taken, self._check = colors, check
        self.count = colors + (check is not None)
        self._blocks: dict[tuple[int, int], tuple[Entries, Tensor]] = {}

    @property
    def bytes(self) -> int:
        """The memory of all seeds together."""
        return sum(self.count * spec.size * spec.dtype.itemsize for spec in self.specs)

    @property
    def check_bytes(self) -> int:
        """What the check of one sample's entries takes beside the directions."""
        return 0 if self._check is None else self._check.bytes

    def prepare(self, blocks: Sequence[slice], layout: ResultLayout) -> int:
        """Find out where products show each entry, and where it goes."""
        length, device = sum(self._lengths), self.specs[0].device
        built: list[Tensor] = []
        if self._check is not None:
            built += self._check.prepare(blocks)
        for block in blocks:
            entries, where = self._entries(block, length, device)
            built += [where, entries.rows, entries.columns]
            if layout.problem.options.layout not in SPARSE:
                built += [place.flat for place in entries.places(layout)]
        return sum(tensor.nbytes for tensor in built)

    def seeds(self, block: slice) -> Tensors:
        """Build the seeds of a block of directions."""
        colors, size = self._coloring.colors, sum(spec.size for spec in self.specs)
        shape = (block.stop - block.start, size)
        flat = torch.zeros(shape, dtype=torch.float32, device="cpu")
        inside = (colors >= block.start) & (colors < min(block.stop, self._taken))
        where = inside.nonzero().flatten()
        flat[colors[where] - block.start, where] = 1
        if self._check is not None and block.stop == self.count:
            flat[-1] = torch.where(colors < self._taken, self._check.direction, 0)
        parts = flat.split([spec.size for spec in self.specs], dim=1)
        return tuple(
            _over_samples(part.to(spec.device, spec.dtype), spec, samples)
            for part, spec, samples in zip(
                parts, self.specs, self._samples, strict=True
            )
        )

    def of_samples(self, seeds: Tensors, count: int) -> Tensors:
        """Restrict seeds to `count` samples; all samples have the same."""
        return tuple(
            seed if samples in {None, count} else seed[:, :count]
            for seed, samples in zip(seeds, self._samples, strict=True)
        )

    def target(self, task: Task, result: Result) -> Tensors | None:
        """Return `None`: entries are taken out of products."""
        del task, result
        return None

    def place(self, products: Tensors, task: Task, result: Result) -> None:
        """Take the entries of a block's colours out of its products."""
        size = task.sample_count
        parts = [
            p.reshape(p.shape[0], size, length)
            for p, length in zip(products, self._lengths, strict=True)
        ]
        flat = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        entries, where = self._entries(task.block, flat.shape[2], flat.device)
        by_sample = flat.transpose(0, 1).reshape(size, -1)
        result.add_entries(by_sample.index_select(1, where), entries, task.samples)
        if self._check is not None:
            ends = task.block.stop == self.count
            found = flat[:-1] if ends else flat
            self._check.add(found, task, result, last=flat[-1] if ends else None)

    def missing_bytes(self, count: int) -> int:
        """Return zero: every seed is as large as the first."""
        del count
        return 0

    def _entries(
        self, block: slice, length: int, device: torch.device
    ) -> tuple[Entries, Tensor]:
        """Return the entries that a block's products show, and where they show them."""
        key = (block.start, block.stop)
        if key not in self._blocks:
            color, place = self._coloring.color, self._coloring.place
            which: Tensor | None = None
            if key[0] > 0 or min(key[1], self._taken) < self._coloring.count:
                inside = (color >= key[0]) & (color < min(key[1], self._taken))
                which = inside.nonzero().flatten()
                color, place = color[which], place[which]
            rows, columns = self._pattern.rows, self._pattern.columns
            if which is not None:
                rows, columns = rows[which], columns[which]
            where = (color - key[0]) * length + place
            self._blocks[key] = Entries(rows, columns, which), where.to(device)
        return self._blocks[key]


def _over_samples(seed: Tensor, spec: TensorSpec, samples: int | None) -> Tensor:
    shaped = seed.reshape(seed.shape[0], *spec.shape)
    if samples is None:
        return shaped
    return shaped.unsqueeze(1).expand(seed.shape[0], samples, *spec.shape)


@dataclass(frozen=True)
class Colors:
    """One direction for each colour of the problem's pattern."""

    name: ClassVar[str] = "colors"

    def bind(self, problem: Problem, mode: Mode, policy: SamplePolicy) -> Seeding:
        """Return the colours of the columns or rows, as directions.

        Raises:
            ValueError: The problem has no pattern, or rows are coupled.
        """
        pattern, stored = problem.pattern, problem.stored_pattern
        coupled = policy is SamplePolicy.COUPLED_ROWS
        if pattern is None or stored is None or coupled:
            raise ValueError("there is no pattern to colour")
        pushes, batch = mode == "jvp", problem.batch_size
        coloring = coloring_for(problem, mode)
        specs, shown = problem.inputs, problem.outputs
        if not pushes:
            specs, shown = shown, specs
        sampled = (pushes and spec.batch_dim is None for spec in specs)
        samples = [None if shared else batch for shared in sampled]
        colors = _taken(problem, coloring)
        check: ColorCheck | None = None
        if _is_checked(problem, coloring) and coloring.count > 0:
            check = ColorCheck(
                problem,
                specs,
                shown,
                pattern,
                coloring if coloring.direct else None,
                by_columns=pushes or _is_symmetric(problem, pattern),
                colors=colors,
            )
        if stored is not pattern:
            coloring = coloring.of(pattern.numbers_of(stored.rows, stored.columns))
        return ColoredSeeds(
            specs, samples, shown, stored, coloring, colors=colors, check=check
        )

    def first(self, problem: Problem, mode: Mode, count: int) -> Problem:
        """Return the problem of the values of the first colours alone."""
        values = replace(problem.options, layout="values")
        part = replace(problem, colors=count, options=values)
        checked = _is_checked(part, coloring_for(problem, mode))
        return replace(part, colors=count - 1) if checked else part


def coloring_for(problem: Problem, mode: Mode) -> Coloring:
    """Return the colouring of a problem's pattern for a mode.

    Raises:
        ValueError: The problem has no pattern.
    """
    pattern = problem.pattern
    if pattern is None:
        raise ValueError("there is no pattern to colour")
    if _is_symmetric(problem, pattern):
        return pattern.symmetric_coloring
    return pattern.column_coloring if mode == "jvp" else pattern.row_coloring


def color_count(problem: Problem) -> int:
    """Count the colours of a problem's pattern: by JVPs or VJPs, whichever are fewer.

    Raises:
        ValueError: The problem has no pattern.
    """
    return min(coloring_for(problem, "jvp").count, coloring_for(problem, "vjp").count)


def _taken(problem: Problem, coloring: Coloring) -> int:
    """Count the colours that are computed: all, but for a trial."""
    every, wanted = coloring.count, problem.colors
    return every if wanted is None else min(wanted, every)


def _is_checked(problem: Problem, coloring: Coloring) -> bool:
    """Tell whether a random direction goes with the colours.

    What is read in a mirrored place needs all of them.
    """
    return problem.options.verify and (problem.colors is None or coloring.direct)


def _is_symmetric(problem: Problem, pattern: Pattern) -> bool:
    """Tell whether the columns of a matrix are coloured, whatever seeds are."""
    return problem.gradient is not None and pattern.symmetric
