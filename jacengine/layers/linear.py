"""Rules of linear layers and embeddings, and of biases."""

from __future__ import annotations

from torch import Tensor, nn

from jacengine.layers.outer import outer, store


def linear_factors(_: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block into cotangents and inputs, see `jacengine.layers.outer`."""
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
    """Return the row that each position adds to, `(s, n)`, and what, `(s, k, n, e)`.

    Padding has no cotangent.
    """
    index = x.long()
    if layer.padding_idx is not None:
        padding = index == layer.padding_idx
        g = g.masked_fill(padding[:, None, :, None], 0)
    return index, g


def embedding_weight(
    layer: nn.Embedding, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Scatter `s k n e` into rows `x[s n]` of `s k v e`."""
    return scattered(*embedding_rows(layer, x, g), layer.num_embeddings, out)


def scattered(index: Tensor, values: Tensor, count: int, out: Tensor | None) -> Tensor:
    """Add `(s, k, n, e)` to the rows `(s, n)` of a block of zeros.

    Args:
        index: The rows.
        values: What to add to them.
        count: The number of rows of the block.
        out: Where to write, `(s, k, count, e)`.
    """
    samples, directions, _, width = values.shape
    shape = (samples, directions, count, width)
    block = values.new_zeros(shape) if out is None else out.zero_()
    rows = index[:, None, :, None].expand(values.shape)
    return block.scatter_add_(2, rows, values.to(block.dtype))
