"""Weight rules of convolutions: windows of the input, contracted with cotangents.

    y[o p] = sum_{c j} w[o c j] x[c, p * stride + j * dilation]
    block[s k o c j] = sum_{n p} g[s k n o p] windows[s n c j p]

There are three implementations, and which is fastest depends on sizes and device: copy
the windows (im2col) and multiply matrices; the same with whole rows of the image, which
copies longer runs and pads cotangents with zeros; or the convolution's own weight
gradient, with every sample as a group (G. Rochette, A. Manoel, E. W. Tramel, 2019,
https://arxiv.org/abs/1912.06015).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad as weight_gradients

from jacengine._torch_private import ConvNd, ConvTransposeNd, padding_of
from jacengine.layers.linear import outer, store


def conv_factors(layer: ConvNd, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block into cotangents and windows, see `jacengine.layers.linear`."""
    items = _padded(layer, x)
    return _rows(g, layer.groups), _columns(_windows(items, layer, g.shape[4:]), layer)


def conv_by_windows(layer: ConvNd, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Copy the windows, and multiply."""
    left, right = conv_factors(layer, x.to(g.dtype), g)
    return outer(left, right, layer.weight.shape, out)


def conv_by_rows(layer: ConvNd, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Copy rows of the image from the start of a window on, and multiply.

    With stride 1 neighbouring windows start at neighbouring entries, so that one run of
    memory is a row of windows. Cotangents are zero where a run continues between the
    windows of one row and those of the next.
    """
    count = g.shape[4:]
    if len(count) < 2 or layer.stride[-2:] != (1, 1):
        return conv_by_windows(layer, x, g, out)
    items = _padded(layer, x.to(g.dtype)).contiguous()
    width = items.shape[-1]
    run = (count[-2] - 1) * width + count[-1]
    outside, inside = items.stride()[:3], items.stride()[3:]
    steps = [step * spread for step, spread in zip(inside, layer.dilation, strict=True)]
    jumps = [step * far for step, far in zip(inside, layer.stride, strict=True)][:-2]
    runs = items.as_strided(
        (*items.shape[:3], *layer.kernel_size, *count[:-2], run),
        (*outside, *steps, *jumps, 1),
    )
    padded = F.pad(g, (0, width - count[-1])).flatten(-2)[..., :run]
    left, right = _rows(padded, layer.groups), _columns(runs, layer)
    return outer(left, right, layer.weight.shape, out)


def conv_by_groups(layer: ConvNd, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Compute the weight gradient of one convolution with a group for each sample."""
    groups, weight = layer.groups, tuple(layer.weight.shape)
    samples, directions = g.shape[:2]
    x = x.to(g.dtype)
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    items = (x if plain else _padded(layer, x)).transpose(0, 1).flatten(1, 2)
    split = g.unflatten(3, (groups, -1))  # s k n q o/q ...
    order = (2, 0, 3, 1, 4, *range(5, split.dim()))
    grouped = split.permute(order).flatten(1, 4)  # n (s q k o/q) ...
    gradient = getattr(weight_gradients, f"conv{len(layer.kernel_size)}d_weight")
    found = gradient(
        items,
        (grouped.shape[1], *weight[1:]),
        grouped,
        padding=layer.padding if plain else 0,
        stride=layer.stride,
        dilation=layer.dilation,
        groups=samples * groups,
    )
    apart = found.view(samples, groups, directions, -1, *weight[1:]).transpose(1, 2)
    return store(apart.reshape(samples, directions, *weight), out)


def transposed_weight(
    layer: ConvTransposeNd, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Contract `s n i ..., s k n o ... -> s k i o ...`, group by group.

    A transposed convolution is the adjoint map, so input and cotangent change places.
    """
    assert not isinstance(layer.padding, str)
    padding = [size for size in reversed(layer.padding) for _ in range(2)]
    items = F.pad(g.flatten(0, 1), padding)  # (s k) n o ...
    windows = _windows(items, layer, x.shape[3:])
    columns = _columns(windows, layer).unflatten(0, g.shape[:2])  # s k q (o/q j) (n p)
    rows = _rows(x.to(g.dtype).unsqueeze(1), layer.groups)  # s 1 q i/q (n p)
    product = rows @ columns.transpose(-1, -2)
    return store(product.reshape(*g.shape[:2], *layer.weight.shape), out)


def _windows(items: Tensor, layer: ConvNd, count: Sequence[int]) -> Tensor:
    """View the `count` windows of padded `(..., c, *space)` that the kernel sees.

    Returns:
        `(..., c, *kernel_size, *count)`, a view.
    """
    space = len(layer.kernel_size)
    first = items.dim() - space
    for i, (kernel, step, spread) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ):
        items = items.unfold(first + i, (kernel - 1) * spread + 1, step)
        items = items.narrow(first + i, 0, count[i])[..., ::spread]
    return items.movedim(tuple(range(first, first + space)), tuple(range(-space, 0)))


def _padded(layer: ConvNd, x: Tensor) -> Tensor:
    """Pad the layer's input `(s, n, c, *space)` as the layer does."""
    padding = padding_of(layer)
    if not any(padding):
        return x
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded: Tensor = F.pad(x.flatten(0, 1), padding, mode=mode)
    return padded.view(*x.shape[:2], *padded.shape[1:])


def _rows(g: Tensor, groups: int) -> Tensor:
    """Rearrange cotangents `(s, k, n, o, *p)` as `(s, k, q, o/q, n p)`."""
    split = g.unflatten(3, (groups, -1)).movedim(2, 4)
    return torch.flatten(split, 4)


def _columns(windows: Tensor, layer: ConvNd) -> Tensor:
    """Rearrange windows `(s, n, c, *j, *p)` as `(s, q, c/q j, n p)`."""
    last = 2 + len(layer.kernel_size)  # of c/q and j, after s and q
    moved = windows.unflatten(2, (layer.groups, -1)).movedim(1, last + 1)
    return torch.flatten(moved.flatten(last + 1), 2, last)
