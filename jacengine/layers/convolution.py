"""Weight rules of convolutions: windows of the input, contracted with cotangents.

    y[o p] = sum_{c j} w[o c j] x[c, p * stride + j * dilation]
    block[s k o c j] = sum_{n p} g[s k n o p] windows[s n c j p]

There are three ways to it, and which is fastest depends on sizes and device: to copy
the windows (im2col) and multiply matrices; the same with whole rows of the image in
the place of windows, which copies longer runs and pads cotangents with zeros; or to ask
for the convolution's own weight gradient, with every sample as a group (G. Rochette, A.
Manoel, E. W. Tramel, 2019, https://arxiv.org/abs/1912.06015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn import grad as weight_gradients
from torch.nn.modules.conv import (
    _ConvNd,  # pyright: ignore[reportPrivateUsage]
    _ConvTransposeNd,  # pyright: ignore[reportPrivateUsage]
)

from jacengine.layers.outer import outer, placed

_WEIGHT_GRADIENTS: dict[int, Callable[..., Any]] = {
    1: weight_gradients.conv1d_weight,
    2: weight_gradients.conv2d_weight,
    3: weight_gradients.conv3d_weight,
}


def conv_factors(layer: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor the block into cotangents and windows, see `jacengine.layers.outer`."""
    assert isinstance(layer, _ConvNd)
    items = _padded(layer, x)
    seen = windows(items, layer.kernel_size, layer.stride, layer.dilation, g.shape[4:])
    return _rows(g, layer.groups), _columns(seen, layer)


def conv_by_windows(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Copy the windows, and multiply."""
    assert isinstance(layer, _ConvNd)
    left, right = conv_factors(layer, x.to(g.dtype), g)
    return outer(left, right, layer.weight.shape, out)


def conv_by_rows(layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None) -> Tensor:
    """Copy rows of the image from where a window begins, and multiply.

    Windows that begin side by side lie side by side, so that one run of memory is a row
    of them, if the stride is 1. Where a run goes on between the windows of one row and
    those of the next, cotangents are zero.
    """
    assert isinstance(layer, _ConvNd)
    count = g.shape[4:]
    if len(count) < 2 or layer.stride[-2:] != (1, 1):
        return conv_by_windows(layer, x, g, out)
    items = _padded(layer, x.to(g.dtype)).contiguous()
    width = items.shape[-1]
    run = (count[-2] - 1) * width + count[-1]
    outside, inside = items.stride()[:3], items.stride()[3:]
    steps = [step * spread for step, spread in zip(inside, layer.dilation, strict=True)]
    jumps = [step * far for step, far in zip(inside, layer.stride, strict=True)][:-2]
    seen = items.as_strided(
        (*items.shape[:3], *layer.kernel_size, *count[:-2], run),
        (*outside, *steps, *jumps, 1),
    )
    padded = F.pad(g, (0, width - count[-1])).flatten(-2)[..., :run]
    left, right = _rows(padded, layer.groups), _columns(seen, layer)
    return outer(left, right, layer.weight.shape, out)


def conv_by_groups(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Ask for the weight gradient of one convolution with a group for each sample."""
    assert isinstance(layer, _ConvNd)
    groups, weight = layer.groups, tuple(layer.weight.shape)
    samples, directions = g.shape[:2]
    x = x.to(g.dtype)
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    items = (x if plain else _padded(layer, x)).transpose(0, 1).flatten(1, 2)
    split = g.unflatten(3, (groups, -1))  # s k n q o/q ...
    order = (2, 0, 3, 1, 4, *range(5, split.dim()))
    arriving = split.permute(order).flatten(1, 4)  # n (s q k o/q) ...
    found = _WEIGHT_GRADIENTS[len(layer.kernel_size)](
        items,
        (arriving.shape[1], *weight[1:]),
        arriving,
        padding=layer.padding if plain else 0,
        stride=layer.stride,
        dilation=layer.dilation,
        groups=samples * groups,
    )
    apart = found.view(samples, groups, directions, -1, *weight[1:]).transpose(1, 2)
    return placed(apart.reshape(samples, directions, *weight), out)


def transposed_weight(
    layer: nn.Module, x: Tensor, g: Tensor, out: Tensor | None
) -> Tensor:
    """Contract `s n i ..., s k n o ... -> s k i o ...`, group by group.

    A transposed convolution is the adjoint map, so input and cotangent change places.
    """
    assert isinstance(layer, _ConvTransposeNd)
    assert not isinstance(layer.padding, str)
    padding = [size for size in reversed(layer.padding) for _ in range(2)]
    items = F.pad(g.flatten(0, 1), padding)  # (s k) n o ...
    seen = windows(items, layer.kernel_size, layer.stride, layer.dilation, x.shape[3:])
    columns = _columns(seen, layer).unflatten(0, g.shape[:2])  # s k q (o/q j) (n p)
    rows = _rows(x.to(g.dtype).unsqueeze(1), layer.groups)  # s 1 q i/q (n p)
    product = rows @ columns.transpose(-1, -2)
    return placed(product.reshape(*g.shape[:2], *layer.weight.shape), out)


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
        `(..., c, *kernel_size, *count)`, a view.
    """
    space = len(kernel_size)
    first = items.dim() - space
    for i, (kernel, step, spread) in enumerate(
        zip(kernel_size, stride, dilation, strict=True)
    ):
        items = items.unfold(first + i, (kernel - 1) * spread + 1, step)
        items = items.narrow(first + i, 0, count[i])[..., ::spread]
    kept = tuple(range(first))
    return items.permute(
        *kept, *range(first + space, first + 2 * space), *range(first, first + space)
    )


def _padded(layer: _ConvNd, x: Tensor) -> Tensor:
    """Pad the layer's input `(s, n, c, *space)` as the layer does."""
    padding = layer._reversed_padding_repeated_twice  # pyright: ignore[reportPrivateUsage]
    if not any(padding):
        return x
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded: Tensor = F.pad(x.flatten(0, 1), padding, mode=mode)
    return padded.view(*x.shape[:2], *padded.shape[1:])


def _rows(g: Tensor, groups: int) -> Tensor:
    """Rearrange cotangents `(s, k, n, o, *p)` as `(s, k, q, o/q, n p)`."""
    split = g.unflatten(3, (groups, -1)).movedim(2, 4)
    flat: Tensor = split.flatten(4)
    return flat


def _columns(seen: Tensor, layer: _ConvNd) -> Tensor:
    """Rearrange windows `(s, n, c, *j, *p)` as `(s, q, c/q j, n p)`."""
    last = 2 + len(layer.kernel_size)  # of c/q and j, after s and q
    moved = seen.unflatten(2, (layer.groups, -1)).movedim(1, last + 1)
    flat: Tensor = moved.flatten(last + 1).flatten(2, last)
    return flat
