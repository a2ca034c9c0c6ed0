"""The sample axis of each argument, and the number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from jacengine.errors import ArgumentError, kind_of

BatchDim = int | tuple[int | None, ...] | None


def axes_of_samples(
    per_argument: list[list[Any]], leaves: Sequence[Any], batch_dim: BatchDim
) -> tuple[int | None, ...]:
    """Spread `batch_dim` over the leaves; keyword tensors follow vmap (axis 0)."""
    count = sum(map(len, per_argument))
    per_call: tuple[int | None, ...]
    if batch_dim is None:
        return (None,) * len(leaves)
    if isinstance(batch_dim, tuple):
        if len(batch_dim) != len(per_argument):
            raise ArgumentError(
                f"batch_dim={batch_dim!r} has {len(batch_dim)} entries for "
                f"{len(per_argument)} positional arguments; give one an argument."
            )
        per_call = batch_dim
    elif batch_dim == 0 and not isinstance(batch_dim, bool):
        per_call = (0,) * len(per_argument)
    else:
        raise ArgumentError(
            f"batch_dim={batch_dim!r}: expected None, 0, or a tuple with one axis (or "
            "None) an argument, as vmap's in_dims; outputs have samples at axis 0."
        )
    dims = [
        dim for dim, inner in zip(per_call, per_argument, strict=True) for _ in inner
    ] + [0] * (len(leaves) - count)
    return tuple(
        _axis(leaf, dim, batch_dim) for leaf, dim in zip(leaves, dims, strict=True)
    )


def _axis(leaf: object, dim: object, batch_dim: BatchDim) -> int | None:
    """One leaf's axis of samples; numbers and 0-d tensors belong to all samples."""
    if dim is None or not isinstance(leaf, Tensor) or leaf.dim() == 0:
        return None
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ArgumentError(
            f"batch_dim={batch_dim!r}: expected int or None entries, got "
            f"{kind_of(dim)}."
        )
    if not -leaf.dim() <= dim < leaf.dim():
        raise ArgumentError(
            f"batch_dim={batch_dim!r}: axis {dim} does not exist in a tensor of shape "
            f"{tuple(leaf.shape)}."
        )
    return dim % leaf.dim()


def sample_count(
    leaves: Sequence[Any], labels: Sequence[str], dims: Sequence[int | None]
) -> int:
    """Count the samples, on which all batched leaves must agree.

    Raises:
        ArgumentError: No leaf is batched, or they disagree.
    """
    sizes = {
        label: int(leaf.shape[dim])
        for leaf, label, dim in zip(leaves, labels, dims, strict=True)
        if dim is not None
    }
    if not sizes:
        raise ArgumentError(
            "batch_dim was given, but no argument is a tensor with an axis of samples."
        )
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{label}: {size}" for label, size in sizes.items())
        raise ArgumentError(
            f"batch_dim: the arguments disagree on the number of samples ({listed}). "
            "Give an argument that all samples share the entry None, as in "
            "batch_dim=(0, None); keyword tensors are taken per sample along axis 0."
        )
    return next(iter(sizes.values()))
