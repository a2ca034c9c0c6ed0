"""Random cotangents that verification projects on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own, so that no global random state is touched."""
    return torch.Generator().manual_seed(seed)


def draw_cotangents(
    samples: int, counts: Sequence[int], seed: int
) -> tuple[Tensor, ...]:
    """Draw cotangents away from zero, so that an error in any entry of J shows.

    Args:
        samples: The number of samples.
        counts: The number of rows of each group.
        seed: What to draw with.

    Returns:
        One a group, `(samples, rows)`, of magnitude 0.5 to 1.5 and random sign.
    """
    drawing = generator(seed)
    drawn: list[Tensor] = []
    for count in counts:
        shape = (samples, count)
        magnitude = torch.rand(shape, generator=drawing, dtype=torch.float64)
        sign = torch.randint(0, 2, shape, generator=drawing) * 2 - 1
        drawn.append((magnitude + 0.5) * sign)
    return tuple(drawn)
