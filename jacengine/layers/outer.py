"""Blocks that are products of two factors, contracted over positions.

    left  [s k q o n]   cotangents: samples, directions, groups, outputs, positions
    right [s q i n]     what the layer multiplies with its parameter, one a sample
    block [s k q o i] = sum_n left right

Linear layers and convolutions have such blocks: for a linear layer `right` is its
input, for a convolution the windows of its input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def outer(
    left: Tensor, right: Tensor, shape: Sequence[int], out: Tensor | None
) -> Tensor:
    """Compute the block of two factors; written once if it has one position.

    Args:
        left: `(s, k, q, o, n)`.
        right: `(s, q, i, n)`.
        shape: The parameter's, of `q * o * i` entries.
        out: Where to write, `(s, k, *shape)`, strided.

    Returns:
        `(s, k, *shape)`; `out` if it was given.
    """
    samples, directions, groups, rows, positions = left.shape
    if positions == 1:
        row = right.transpose(-1, -2).unsqueeze(1)
        if out is None:
            return torch.mul(left, row).view(samples, directions, *shape)
        split = (samples, directions, groups, rows, right.shape[2])
        torch.mul(left, row, out=out.view(split))
        return out
    if groups == 1:
        return _one_group(left[:, :, 0], right[:, 0], shape, out)
    folded = left.transpose(1, 2).reshape(samples, groups, directions * rows, positions)
    product = folded @ right.transpose(-1, -2)
    unfolded = product.unflatten(2, (directions, rows)).transpose(1, 2)
    return store(unfolded.reshape(samples, directions, *shape), out)


def _one_group(
    left: Tensor, right: Tensor, shape: Sequence[int], out: Tensor | None
) -> Tensor:
    """Contract `s k o n, s i n -> s k o i`, one matrix product a sample."""
    samples, directions, rows, positions = left.shape
    if left.stride(2) < left.stride(3):  # keep the contiguous axis so in the copy
        moved = left.permute(0, 3, 1, 2).reshape(samples, positions, directions * rows)
        folded = moved.transpose(1, 2)
    else:
        folded = left.reshape(samples, directions * rows, positions)
    matrix = right.transpose(1, 2)
    if out is not None and out.dtype == folded.dtype and _foldable(out):
        torch.bmm(folded, matrix, out=out.flatten(1, 2).flatten(2))
        return out
    return store(torch.bmm(folded, matrix).view(samples, directions, *shape), out)


def _foldable(out: Tensor) -> bool:
    """Whether directions and first parameter axis of `out` are one axis in memory."""
    return out.stride(1) == out.shape[2] * out.stride(2) and out[0, 0].is_contiguous()


def store(block: Tensor, out: Tensor | None) -> Tensor:
    """Write a block into `out`, if that is given."""
    return block if out is None else out.copy_(block)
