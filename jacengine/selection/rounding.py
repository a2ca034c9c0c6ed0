"""What rounding does to a computation, found by rounding it differently.

Monte Carlo arithmetic (D. S. Parker, 1997): the result of every operator is changed in
its last bit, at random, and what comes out in the end varies as much as rounding makes
it uncertain. So the tolerance of a number that cancels to almost nothing (a gradient
near an optimum) comes from the terms that it is made of, whatever their precision is
(autocast).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import (
    TorchDispatchMode,
    pytree,
    storage_key,
    without_storage,
)
from jacengine._torchfunc import Tensors
from jacengine.errors import JacengineError

VARIANTS = 3
"""How many times a computation is repeated with other roundings: in one, or two, the
changes may happen to cancel."""
ROUNDING_FACTOR = 16
"""Multiples that are tolerated of the largest change: operators sum many terms, and
round each partial sum."""

REPEATABLE = 0.5
"""Share of these changes that the same computation may differ by when it is repeated:
threads may sum in another order each time."""

_EXACT = 2**10
"""Magnitude up to which integers are taken to be exact: indices, counts, masks."""
_BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}
_MULTIPLIER = 0x9E3779B97F4A7C15


def rounding_changes(
    computed: Callable[[AbstractContextManager[object]], Tensors], known: Tensors
) -> list[Tensors]:
    """Compute a result rounded differently, and by how much it changes.

    Args:
        computed: Computes the result while a context is entered.
        known: The result in the usual one.

    Returns:
        The changes of each tensor in each of `VARIANTS` roundings, zero where one is
        not finite. None at all if the function fails then, or if it is another one at
        each call, so that rounding is not what the changes come from.
    """
    none = tuple(torch.zeros_like(value) for value in known)
    found: list[Tensors] = []
    contexts: list[AbstractContextManager[object]] = [nullcontext()]
    contexts += map(rounded_differently, range(VARIANTS))
    with contextlib.suppress(RuntimeError, JacengineError):
        for context in contexts:
            pairs = zip(computed(context), known, strict=True)
            change = tuple(
                (other - value).nan_to_num(0.0, 0.0, 0.0) for other, value in pairs
            )
            found.append(change)
    if not found:
        return [none]
    again, *changed = map(_size, found)
    return found[1:] if again < REPEATABLE * max(changed, default=0.0) else [none]


def _size(change: Tensors) -> float:
    return math.hypot(*(float(part.norm()) for part in change))


class rounded_differently(TorchDispatchMode):  # noqa: N801 - reads as a context manager
    """Change what operators return in the last bit, in one of many ways.

    The change depends on the value alone, so that equal numbers stay equal: ties, and
    with them the branches that a function takes, stay as they are.
    """

    def __init__(self, variant: int) -> None:
        """Choose the way."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._multiplier = (_MULTIPLIER * (2 * variant + 1)) | 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operator, and change the new tensors that it returns."""
        result = func(*args, **(kwargs or {}))
        new = [leaf for leaf in pytree.tree_leaves(result) if _rounded(leaf)]
        if new:
            given = pytree.tree_leaves((args, kwargs))
            known = {_storage(leaf) for leaf in given if _has_storage(leaf)}
            for tensor in new:
                if _storage(tensor) not in known:
                    self._change(tensor)
        return result

    def _change(self, tensor: Tensor) -> None:
        value = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        value = value.detach()
        integers = _BITS[value.dtype.itemsize]
        wide = torch.iinfo(integers).bits
        multiplier = self._multiplier % 2**wide
        multiplier -= 2**wide if multiplier >= 2 ** (wide - 1) else 0
        down = value.abs().view(integers) * multiplier < 0
        exact = (value == value.round()) & (value.abs() <= _EXACT)
        eps = torch.finfo(value.dtype).eps
        change = torch.where(down, -eps, eps).to(value).masked_fill_(exact, 0)
        value.addcmul_(value, change)


def _has_storage(leaf: object) -> bool:
    return (
        isinstance(leaf, Tensor)
        and leaf.layout == torch.strided
        and not without_storage(leaf)
    )


def _rounded(leaf: object) -> bool:
    """Tell whether a leaf is a tensor whose values are rounded."""
    if not isinstance(leaf, Tensor) or not _has_storage(leaf) or not leaf.numel():
        return False
    inexact = leaf.is_floating_point() or leaf.is_complex()
    return inexact and leaf.dtype.to_real().itemsize in _BITS


def _storage(tensor: Tensor) -> int:
    return storage_key(tensor.untyped_storage())
