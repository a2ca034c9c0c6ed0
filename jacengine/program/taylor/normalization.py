"""Normalisations, decomposed into functions that run on jets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.jet import TaylorRule


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return weight x + bias."""
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _standardize(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) over axes."""
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Standardise over the last axes."""
    dims = tuple(range(-len(normalized_shape), 0))
    return _affine(_standardize(x, dims, eps), weight, bias)


def _rms_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Return x / sqrt(mean(x^2) + eps) over the last axes."""
    dims = tuple(range(-len(normalized_shape), 0))
    least = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(x * ((x * x).mean(dims, keepdim=True) + least).rsqrt(), weight, None)


def _group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Standardise over groups of channels."""
    grouped = x.reshape(x.shape[0], num_groups, -1)
    whole = _standardize(grouped, (-1,), eps).reshape(x.shape)
    return _affine(whole, _channels(weight, x), _channels(bias, x))


def _channels(vector: Tensor | None, x: Tensor) -> Tensor | None:
    """Give a vector the shape in which it broadcasts along the second axis."""
    return None if vector is None else vector.reshape(-1, *[1] * (x.dim() - 2))


def _batch_norm(  # noqa: PLR0917 - torch's signature
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Standardise by running statistics; without those, over samples and space.

    Raises:
        UnsupportedError: Running statistics would be updated.
    """
    own, shift = _channels(weight, x), _channels(bias, x)
    if training or running_mean is None or running_var is None:
        if running_mean is not None or running_var is not None:
            raise UnsupportedError(
                f"batch_norm in training mode updates its running statistics (momentum "
                f"{momentum}); call eval() first."
            )
        dims = tuple(axis for axis in range(x.dim()) if axis != 1)
        return _affine(_standardize(x, dims, eps), own, shift)
    shape = (-1, *[1] * (x.dim() - 2))
    centred = x - running_mean.reshape(shape)
    return _affine(centred * (running_var.reshape(shape) + eps).rsqrt(), own, shift)


def _instance_norm(  # noqa: PLR0917 - torch's signature
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Standardise each sample's channels, or all by running statistics.

    Raises:
        UnsupportedError: Running statistics would be updated.
    """
    if not use_input_stats or running_mean is not None:
        statistics = (running_mean, running_var, weight, bias)
        return _batch_norm(x, *statistics, use_input_stats, momentum, eps)
    dims = tuple(range(2, x.dim()))
    return _affine(_standardize(x, dims, eps), _channels(weight, x), _channels(bias, x))


def _affine_first(rule: TaylorRule) -> TaylorRule:
    """Take the arguments in the order of `torch.batch_norm`, which is not that of F."""
    return lambda x, weight, bias, mean, var, *options: rule(
        x, mean, var, weight, bias, *options
    )


RULES: dict[str, TaylorRule] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "F.batch_norm": _batch_norm,
    "F.instance_norm": _instance_norm,
    "torch.batch_norm": _affine_first(_batch_norm),
    "torch.instance_norm": _affine_first(_instance_norm),
}
