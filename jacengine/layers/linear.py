"""Rules of linear layers, embeddings, normalisation scales, biases and broadcasts.

Linear layers and convolutions have blocks that are products of two factors, contracted
over positions. For a linear layer `right` is its input, for a convolution the windows
of its input:

    left  [s k q o n]   cotangents: samples, directions, groups, outputs, positions
    right [s q i n]     what the layer multiplies with its parameter, one a sample
    block [s k q o i] = sum_n left right
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jacengine.layers.rule import BlockContraction


def outer(
    left: Tensor, right: Tensor, shape: Sequence[int], out: Tensor | None
) -> Tensor:
    """Return the block of two factors, `(s, k, *shape)`, in `out` if that is given.

    Written once if there is one position; `out` may be strided.
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


def linear_factors(_: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block into cotangents and inputs, see `jacengine.layers.linear`."""
    return g.transpose(-1, -2).unsqueeze(2), x.transpose(-1, -2).unsqueeze(1)


def linear_weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s n i, s k n o -> s k o i`; one position is an outer product."""
    left, right = linear_factors(layer, x.to(g.dtype), g)
    return outer(left, right, (g.shape[-1], x.shape[-1]), out)


def positions_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s k n o -> s k o`."""
    return store(g[:, :, 0] if g.shape[2] == 1 else g.sum(2), out)


def channels_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s k n c ... -> s k c` over positions and space."""
    return store(g.flatten(4).sum((2, -1)) if g.dim() > 4 else g.sum(2), out)


def embedding_rows(layer: nn.Embedding, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row that each position adds to, `(s, n)`, and what, `(s, k, n, e)`."""
    index = x.long()
    if layer.padding_idx is not None:  # padding has no cotangent
        padding = index == layer.padding_idx
        g = g.masked_fill(padding[:, None, :, None], 0)
    return index, g


def embedding_weight(
    layer: nn.Embedding, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Scatter `s k n e` into rows `x[s n]` of `s k v e`."""
    return scattered(*embedding_rows(layer, x, g), layer.num_embeddings, out)


def scattered(index: Tensor, values: Tensor, count: int, out: Tensor | None) -> Tensor:
    """Add `(s, k, n, e)` to rows `(s, n)` of a block of zeros `(s, k, count, e)`."""
    samples, directions, _, width = values.shape
    shape = (samples, directions, count, width)
    block = values.new_zeros(shape) if out is None else out.zero_()
    rows = index[:, None, :, None].expand(values.shape)
    return block.scatter_add_(2, rows, values.to(block.dtype))


def _scale_rule(
    normalise: Callable[[Any, Tensor], Tensor], total: BlockContraction
) -> BlockContraction:
    """Make the rule of a scale: cotangents times normalised input, summed."""

    def weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
        normal = normalise(layer, x.flatten(0, 1)).view(x.shape)
        return total(layer, x, g * normal.unsqueeze(1), out)

    return weight


layer_norm_weight = _scale_rule(
    lambda m, x: F.layer_norm(x, list(m.normalized_shape), eps=m.eps), positions_sum
)
rms_norm_weight = _scale_rule(
    lambda m, x: F.rms_norm(x, list(m.normalized_shape), eps=m.eps), positions_sum
)
group_norm_weight = _scale_rule(
    lambda m, x: F.group_norm(x, m.num_groups, eps=m.eps), channels_sum
)
batch_norm_weight = _scale_rule(
    lambda m, x: F.batch_norm(x, m.running_mean, m.running_var, eps=m.eps),
    channels_sum,
)
"""With frozen statistics."""


class Broadcast(nn.Module):
    """An operator of the graph that broadcasts a parameter of a shape.

    Such a layer is never called; its rule contracts the block

        block[s k ...] = sum over n and broadcast axes of g[s k n ...] (x[s n ...])
    """

    def __init__(self, shape: tuple[int, ...], factor: float = 1.0) -> None:
        super().__init__()
        self.shape, self.factor = shape, factor


class Shift(Broadcast):
    """Adds a multiple of the parameter."""


class Scale(Broadcast):
    """Multiplies with the parameter."""


class Project(nn.Module):
    """Multiplies vectors with the parameter, a vector."""


def shift(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Sum the cotangents."""
    return _sum(layer, x, g if layer.factor == 1 else g * layer.factor, out)


def scale(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Sum the cotangents times the other factor."""
    return _sum(layer, x, g * x.unsqueeze(1), out)


def own_axes(layer: Broadcast, _: int) -> int:
    """Count the parameter's axes."""
    return len(layer.shape)


def _sum(layer: Broadcast, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    broadcast = [3 + axis for axis, size in enumerate(layer.shape) if size == 1]
    if broadcast:
        g = g.sum(broadcast, keepdim=True)
    return positions_sum(layer, x, g, out)


def project(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s n i, s k n -> s k i`."""
    left, right = project_factors(layer, x.to(g.dtype), g)
    into = None if out is None else out.unsqueeze(2)
    return outer(left, right, (1, x.shape[-1]), into).squeeze(2)


def project_factors(layer: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block as that of a linear layer with one output."""
    return linear_factors(layer, x, g.unsqueeze(-1))
