"""Weight rules of convolutions: windows of the input, contracted with cotangents.

    y[o p] = sum_{c j} w[o c j] x[c, p * stride + j * dilation]
    block[k s o c j] = sum_{n p} g[k s n o p] windows[s n c p j]

Windows are a strided view; the matrix product copies them once (im2col). A transposed
convolution is the adjoint map, so input and cotangent change places.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import (
    _ConvNd,  # pyright: ignore[reportPrivateUsage]
    _ConvTransposeNd,  # pyright: ignore[reportPrivateUsage]
)


def conv_weight(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Contract `s n c ..., k s n o ... -> k s o c ...`, group by group."""
    assert isinstance(layer, _ConvNd)
    x = x.to(g.dtype)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padding = layer._reversed_padding_repeated_twice  # pyright: ignore[reportPrivateUsage]
    items = F.pad(x.flatten(0, 1), padding, mode=mode).unflatten(0, x.shape[:2])
    seen = windows(items, layer.kernel_size, layer.stride, layer.dilation, g.shape[4:])
    # [s q n p, c/q j] and [k s q o/q n p], q the groups
    columns = _by_group(seen, layer.groups, len(layer.kernel_size))
    grouped = g.unflatten(3, (layer.groups, -1)).movedim(2, 4).flatten(4)
    return _placed(grouped @ columns, layer.weight.shape, out)


def transposed_weight(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Contract `s n i ..., k s n o ... -> k s i o ...`, group by group."""
    assert isinstance(layer, _ConvTransposeNd)
    x = x.to(g.dtype)
    assert not isinstance(layer.padding, str)
    padding = [size for size in reversed(layer.padding) for _ in range(2)]
    items = F.pad(g.flatten(0, 2), padding).unflatten(0, g.shape[:3])
    seen = windows(items, layer.kernel_size, layer.stride, layer.dilation, x.shape[3:])
    # [k s q n p, o/q j] and [s q i/q n p]
    columns = _by_group(seen, layer.groups, len(layer.kernel_size))
    grouped = x.unflatten(2, (layer.groups, -1)).movedim(1, 3).flatten(3)
    return _placed(grouped @ columns, layer.weight.shape, out)


def windows(
    items: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    count: Sequence[int],
) -> Tensor:
    """View the windows that a kernel sees.

    Args:
        items: `(..., c, *space)`, padded.
        kernel_size: Of each spatial axis.
        stride: Of each spatial axis.
        dilation: Of each spatial axis.
        count: How many windows to take along each spatial axis.

    Returns:
        `(..., c, *count, *kernel_size)`, a view.
    """
    first = items.dim() - len(kernel_size)
    for i, (kernel, step, spread) in enumerate(
        zip(kernel_size, stride, dilation, strict=True)
    ):
        items = items.unfold(first + i, (kernel - 1) * spread + 1, step)
        items = items.narrow(first + i, 0, count[i])[..., ::spread]
    return items


def _by_group(seen: Tensor, groups: int, space: int) -> Tensor:
    """Rearrange windows `(..., n, c, *p, *j)` as `(..., q, n p, c/q j)`."""
    batch = seen.dim() - 2 * space - 2
    split = seen.unflatten(batch + 1, (groups, -1))  # (..., n, q, c/q, *p, *j)
    moved = split.movedim(batch + 1, batch)  # (..., q, n, c/q, *p, *j)
    moved = moved.movedim(batch + 2, batch + 2 + space)  # (..., q, n, *p, c/q, *j)
    flat: Tensor = moved.flatten(batch + 2 + space)
    return flat.flatten(batch + 1, batch + 1 + space)


def _placed(product: Tensor, weight: Sequence[int], out: Tensor | None) -> Tensor:
    """Merge groups into the first weight axis: `k s q o/q (c/q j)` to the weight."""
    block = product.flatten(2, 3).view(*product.shape[:2], *weight)
    return block if out is None else out.copy_(block)
