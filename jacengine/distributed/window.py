"""What a rank computes of an axis, and what of that is its shard.

Shards are those of `torch.chunk`, which is what `DTensor` expects of `Shard`: the last
one may be smaller, or empty. All ranks compute equally much, so that their plans and
their times are of the same problem: where a shard is smaller, some of what a rank
computes is another's, and is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A rank's part of an axis.

    Attributes:
        size: The length of the axis.
        ranks: The number of ranks.
        rank: Which of them.
        least: What is computed at least, if there is as much.
    """

    size: int
    ranks: int
    rank: int
    least: int = 1

    @property
    def shard(self) -> slice:
        """The entries that this rank holds."""
        each = -(-self.size // self.ranks)
        start = min(self.rank * each, self.size)
        return slice(start, min(start + each, self.size))

    @property
    def count(self) -> int:
        """How many entries this rank holds."""
        return int(self.shard.stop - self.shard.start)

    @property
    def computed(self) -> slice:
        """The entries that this rank computes: on all ranks as many."""
        each = min(self.size, max(-(-self.size // self.ranks), self.least))
        start = min(self.shard.start, self.size - each)
        return slice(start, start + each)

    @property
    def within(self) -> slice:
        """Where the shard is in what is computed."""
        start = self.shard.start - self.computed.start
        return slice(start, start + self.count)

    def trimmed(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the shard, as a view of what was computed."""
        return tensor.narrow(dim, self.within.start, self.count)

    def of(self, rank: int) -> Window:
        """Return the part of another rank."""
        return Window(self.size, self.ranks, rank, self.least)
