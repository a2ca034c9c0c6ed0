"""Linear operators on images and other tensors whose leading axis is samples.

y_t = op(t), y_s = op(s), without the constant that some operators add: directions are
more samples, or under `torch.func.vmap`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from jacengine._torchfunc import vmap
from jacengine.errors import UnsupportedError
from jacengine.program.taylor.jet import Jet, TaylorRule, jets_in


def _per_sample(function: TaylorRule, axes: int | None = None) -> TaylorRule:
    """Return the rule of an operator that takes any number of samples.

    Args:
        function: Takes a tensor, of which the first axis is samples.
        axes: How many axes one sample has, where a sample may come alone; `None`
            where samples always have an axis.
    """

    def rule(x: Jet, *args: Any, **named: Any) -> Jet:
        y = function(x.primal, *args, **named)
        if x.primal.dim() == axes:
            return x.apply_linear(y, lambda t: function(t, *args, **named))
        return x.apply_linear(
            y,
            lambda t: function(t.flatten(0, 1), *args, **named).unflatten(
                0, t.shape[:2]
            ),
        )

    return rule


def _pad(
    x: Jet, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Any:
    if mode == "constant":
        y = F.pad(x.primal, pad, value=value)
        return x.apply_linear(y, lambda t: F.pad(t, pad))
    if x.primal.dim() < len(pad) // 2 + 2:
        return NotImplemented
    return _per_sample(F.pad)(x, pad, mode)


def _vectorised(function: TaylorRule) -> TaylorRule:
    """Return the rule of any other linear function of one tensor."""

    def rule(x: Any, *args: Any, **named: Any) -> Any:
        if not isinstance(x, Jet) or any(jets_in((args, named))):
            return NotImplemented
        y = function(x.primal, *args, **named)
        return x.apply_linear(y, vmap(lambda t: function(t, *args, **named)))

    return rule


def _adding(function: TaylorRule) -> TaylorRule:
    """Return the rule of a function that adds a constant: its slope has none."""

    def rule(x: Any, dim: int, index: Any, source: Any, **named: Any) -> Any:
        if not isinstance(x, Jet) or any(jets_in((index, source, named))):
            return NotImplemented
        y = function(x.primal, dim, index, source, **named)
        nothing = torch.zeros_like(source)
        return x.apply_linear(
            y, vmap(lambda t: function(t, dim, index, nothing, **named))
        )

    return rule


def _dropout(x: Jet, p: float = 0.5, training: bool = True, **_: Any) -> Jet:
    """Return the jet as it is, in evaluation mode.

    Raises:
        UnsupportedError: The layer is in training mode.
    """
    if training and p:
        raise UnsupportedError("Dropout in training mode is random; call eval() first.")
    return x


RULES: dict[str, TaylorRule] = {
    "pad": _pad,
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout "
    "feature_dropout": _dropout,
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "channel_shuffle cumsum diag diag_embed diagonal flip fliplr flipud fold gather "
    "index_select narrow pixel_shuffle pixel_unshuffle repeat "
    "repeat_interleave roll rot90 select take_along_dim tile trace tril "
    "triu unfold": _vectorised,
    "index_add scatter_add": _adding,
    "avg_pool1d adaptive_avg_pool1d": functools.partial(_per_sample, axes=2),
    "avg_pool2d adaptive_avg_pool2d": functools.partial(_per_sample, axes=3),
    "avg_pool3d adaptive_avg_pool3d": functools.partial(_per_sample, axes=4),
    "interpolate upsample": _per_sample,
}
