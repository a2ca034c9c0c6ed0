"""Linear operators on images and other tensors whose leading axis is samples.

y_t = op(t), y_l = op(l), with directions as more samples, or under `torch.func.vmap`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from jacengine._torchfunc import vmap
from jacengine.errors import UnsupportedError
from jacengine.program.taylor.broadcast_tangents import aligned
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet, jets_in
from jacengine.program.taylor.views import trailing

VECTORISED = (
    "gather roll tile diagonal repeat_interleave take_along_dim diag_embed diag rot90 "
    "fliplr flipud unfold fold index_add scatter_add channel_shuffle"
)


def folded(function: Callable[..., Tensor], axes: int | None = None) -> Rule:
    """Return the rule of an operator that takes any number of samples.

    Args:
        function: Takes a tensor, of which the first axis is samples.
        axes: How many axes one sample has, where a sample may come alone; `None`
            where samples always have an axis.
    """

    def rule(x: Jet, *args: Any, **named: Any) -> Jet:
        y = function(x.primal, *args, **named)
        if x.primal.dim() == axes:
            return x.moved(y, lambda t: function(t, *args, **named))

        def move(t: Tensor) -> Tensor:
            moved = function(t.flatten(0, 1), *args, **named)
            return moved.reshape(*t.shape[:2], *moved.shape[1:])

        return x.moved(y, move)

    return rule


def padded(
    x: Jet, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Any:
    """Pad the last axes."""
    if mode == "constant":
        y = F.pad(x.primal, pad, value=value)
        return x.moved(y, lambda t: F.pad(t, pad))
    if x.primal.dim() < len(pad) // 2 + 2:
        return NotImplemented
    return folded(F.pad)(x, pad, mode)


def repeated(x: Jet, *sizes: Any) -> Jet:
    """Repeat along axes, by copies."""
    times: Sequence[int] = sizes if isinstance(sizes[0], int) else sizes[0]
    y = x.primal.repeat(*times)
    return x.moved(y, lambda t: aligned(t, y.dim()).repeat(1, *times))


def vectorised(function: Rule) -> Rule:
    """Return the rule of any other linear function of one tensor."""

    def rule(x: Any, *args: Any, **named: Any) -> Any:
        if not isinstance(x, Jet) or any(jets_in((args, named))):
            return NotImplemented
        y = function(x.primal, *args, **named)
        return x.moved(y, vmap(lambda t: function(t, *args, **named)))

    return rule


def dropout(x: Jet, p: float = 0.5, training: bool = True, **_: Any) -> Jet:
    """Return the jet as it is, in evaluation mode.

    Raises:
        UnsupportedError: The layer is in training mode.
    """
    if training and p:
        raise UnsupportedError("Dropout in training mode is random; call eval() first.")
    return x


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    for name in VECTORISED.split():
        for function in spellings(name):
            yield function, vectorised(function)
    for axes, digit in ((2, "1d"), (3, "2d"), (4, "3d")):
        for name in ("avg_pool", "adaptive_avg_pool"):
            for function in spellings(name + digit):
                yield function, folded(function, axes)
    for function in spellings("interpolate", "upsample"):
        yield function, folded(function)
    for function in spellings("pixel_shuffle", "pixel_unshuffle"):
        yield function, trailing(function)
    for function in spellings("pad"):
        yield function, padded
    for function in spellings("repeat"):
        yield function, repeated
    for function in spellings(
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "alpha_dropout",
        "feature_alpha_dropout",
        "feature_dropout",
    ):
        yield function, dropout
