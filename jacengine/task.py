"""The unit of work of a sweep: some samples, and a block of directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What one call of a linear map computes.

    Attributes:
        samples: The samples of the result that it is of.
        block: The directions, among all of the seeding.
    """

    samples: slice
    block: slice

    def __hash__(self) -> int:
        """Hash the bounds: slices themselves have no hash before Python 3.12."""
        samples, block = self.samples, self.block
        return hash((samples.start, samples.stop, block.start, block.stop))

    @property
    def sample_count(self) -> int:
        """The number of samples."""
        return int(self.samples.stop - self.samples.start)

    @property
    def direction_count(self) -> int:
        """The number of directions."""
        return int(self.block.stop - self.block.start)


def balanced(total: int, most: int | None) -> Iterator[slice]:
    """Split `total` into the fewest blocks of at most `most`, of nearly equal size.

    Balanced blocks leave no ragged last one, as in DifferentiationInterface.jl,
    https://github.com/JuliaDiff/DifferentiationInterface.jl (`reasonable_batchsize`).

    Yields:
        The blocks, in order.
    """
    if total == 0:
        return
    count = 1 if most is None else -(-total // most)
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)
