"""Rules of linear layers and embeddings, and of biases."""

from __future__ import annotations

from torch import Tensor, nn

from jacengine.layers.outer import outer, placed


def linear_factors(_: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block into cotangents and inputs, see `jacengine.layers.outer`."""
    return g.transpose(-1, -2).unsqueeze(2), x.transpose(-1, -2).unsqueeze(1)


def linear_weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s n i, s k n o -> s k o i`; one position is an outer product."""
    left, right = linear_factors(layer, x.to(g.dtype), g)
    return outer(left, right, (g.shape[-1], x.shape[-1]), out)


def positions_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s k n o -> s k o`."""
    return placed(g[:, :, 0] if g.shape[2] == 1 else g.sum(2), out)


def channels_sum(_: nn.Module, __: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s k n c ... -> s k c` over positions and space."""
    return placed(g.flatten(4).sum((2, -1)) if g.dim() > 4 else g.sum(2), out)


def embedding_weight(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Scatter `s k n e` into rows `x[s n]` of `s k v e`; padding takes no part."""
    assert isinstance(layer, nn.Embedding)
    shape = (*g.shape[:2], layer.num_embeddings, layer.embedding_dim)
    block = g.new_zeros(shape) if out is None else out.zero_()
    rows = x[:, None, :, None].expand(g.shape).long()
    if layer.padding_idx is not None:
        g = g.masked_fill(rows == layer.padding_idx, 0)
    return block.scatter_add_(2, rows, g.to(block.dtype))
