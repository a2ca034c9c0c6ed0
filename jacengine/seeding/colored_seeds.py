"""One direction for each colour: columns (or rows) that do not meet share a direction.

The product with a colour's seed holds one entry of each of its columns in every row, so
that it is told which entry it is of by the pattern. An entry outside of the pattern
would be added to another one unnoticed: so one random direction goes with the colours,
and its product is compared with that of the entries found.
"""

from __future__ import annotations

from collections.abc import Sequence

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
            which = self._coloring.entries
            if key[0] > 0 or min(key[1], self._taken) < self._coloring.count:
                inside = (color >= key[0]) & (color < min(key[1], self._taken))
                some = inside.nonzero().flatten()
                color, place = color[some], place[some]
                which = some if which is None else which[some]
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


def bind_colors(
    problem: Problem,
    mode: Mode,
    policy: SamplePolicy,
    coloring: Coloring,
    *,
    by_columns: bool,
    adds_up: bool,
    checked: bool,
) -> ColoredSeeds:
    """Return colours of a problem's pattern as directions.

    Args:
        problem: What is computed.
        mode: Which products there are.
        policy: How samples share a pass.
        coloring: The colours of the columns or rows.
        by_columns: Whether they are those of columns.
        adds_up: Whether the products alone add up to that with a random direction; else
            it is compared with the entries of the result.
        checked: Whether a random direction goes with them.

    Raises:
        ValueError: The problem has no pattern, or rows are coupled.
    """
    pattern, stored = problem.pattern, problem.stored_pattern
    coupled = policy is SamplePolicy.COUPLED_ROWS
    if pattern is None or stored is None or coupled:
        raise ValueError("there is no pattern to colour")
    pushes, batch = mode == "jvp", problem.batch_size
    specs, shown = problem.inputs, problem.outputs
    if not pushes:
        specs, shown = shown, specs
    sampled = (pushes and spec.batch_dim is None for spec in specs)
    samples = [None if shared else batch for shared in sampled]
    wanted = problem.colors
    colors = coloring.count if wanted is None else min(wanted, coloring.count)
    check: ColorCheck | None = None
    if checked:
        check = ColorCheck(
            problem,
            specs,
            shown,
            pattern,
            coloring if adds_up else None,
            by_columns=by_columns,
            colors=colors,
        )
    if stored is not pattern:
        coloring = coloring.of(pattern.numbers_of(stored.rows, stored.columns))
    return ColoredSeeds(
        specs, samples, shown, stored, coloring, colors=colors, check=check
    )
