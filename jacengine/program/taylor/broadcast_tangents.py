"""Broadcast tangents: of size 1 along the axes where they are constant.

A direction is most often the same for all samples, and stays so through layers that
are linear. Its tangents are then stored once, `(K, 1, n)`, and cost a sample's share.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def expand_tangents(tangents: Tensor, shape: Sequence[int]) -> Tensor:
    """Return tangents as a view of shape `(K, *shape)`."""
    if tangents.shape[1:] == shape:
        return tangents
    return tangents.expand(tangents.shape[0], *shape)


def expand_trailing(tangents: Tensor, shape: Sequence[int], count: int) -> Tensor:
    """Return tangents as a view that is of full size in the last `count` axes."""
    kept = tangents.dim() - count
    return tangents.expand(*tangents.shape[:kept], *shape[len(shape) - count :])


def unexpand(tangents: Tensor) -> Tensor:
    """Return a view of size 1 along the axes of stride 0."""
    for axis, (size, stride) in enumerate(
        zip(tangents.shape, tangents.stride(), strict=True)
    ):
        if axis and stride == 0 and size > 1:
            tangents = tangents.narrow(axis, 0, 1)
    return tangents


def align_rank(tangents: Tensor, rank: int) -> Tensor:
    """Insert axes after the first, so that tangents broadcast with those of a rank."""
    missing = rank + 1 - tangents.dim()
    if not missing:
        return tangents
    head, *rest = tangents.shape
    return tangents.reshape(head, *[1] * missing, *rest)


def add_coefficients(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Add two coefficients, of which `None` is zero."""
    if a is None or b is None:
        return b if a is None else a
    return a + b
