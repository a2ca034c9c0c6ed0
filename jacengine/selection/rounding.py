"""What rounding does to a computation, found by rounding it differently.

Monte Carlo arithmetic (D. S. Parker, 1997): the result of every operator is changed in
its last bits, at random, and what comes out in the end varies as much as rounding makes
it uncertain. So the tolerance of a number that cancels to almost nothing (a gradient
near an optimum) comes from the terms that it is made of, whatever their precision is
(autocast).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
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
SPAN = 4
"""Results of operators change by at most so many times the last bit."""
ROUNDING_FACTOR = 4
"""Multiples that are tolerated of the largest change: operators sum many terms, and
round each partial sum."""

REPEATABLE = 0.5
"""Share of these changes that the same computation may differ by when it is repeated:
threads may sum in another order each time."""

_EXACT = 2**10
"""Magnitude up to which integers are taken to be exact: indices, counts, masks."""
_WITHOUT_ROUNDING = frozenset(
    [
        *("abs", "amax", "amin", "clamp", "copysign", "max", "maximum", "min"),
        *("minimum", "neg", "relu", "sort", "where", "masked_fill"),
        *("cat", "clone", "constant_pad_nd", "flip", "gather", "index", "index_select"),
        *("repeat", "roll", "select_backward", "slice_backward", "stack"),
        *("full_like", "new_full", "new_zeros", "ones_like", "zeros_like"),
    ]
)
"""Operators that return numbers they were given, or constants."""
_SATURATING = frozenset(["_softmax", "erf", "sigmoid", "tanh"])
"""Operators of which a one is rounded too: it is next to one."""
_BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}


def rounding_changes(
    computed: Callable[[AbstractContextManager[object]], Tensors], known: Tensors
) -> list[Tensors]:
    """Compute a result rounded differently, and by how much it changes.

    Args:
        computed: Computes the result while a context is entered.
        known: The result in the usual one.

    Returns:
        By how much each tensor differs between every two of `VARIANTS` roundings, zero
        where one is not finite. None at all if the function fails then, or if it is
        another one at each call, so that rounding is not what the changes come from.
        The usual rounding takes no part: where a branch depends on exact numbers, the
        others may all be equally far from it.
    """
    none = tuple(torch.zeros_like(value) for value in known)
    found: list[Tensors] = []
    contexts: list[AbstractContextManager[object]] = [nullcontext()]
    contexts += map(rounded_differently, range(VARIANTS))
    with contextlib.suppress(RuntimeError, JacengineError):
        found.extend(computed(context) for context in contexts)
    if not found:
        return [none]
    again, *variants = found
    changes = [_between(*pair) for pair in itertools.combinations(variants, 2)]
    repeated = _size(_between(again, known))
    stable = repeated < REPEATABLE * max(map(_size, changes), default=0.0)
    return changes if stable else [none]


def _between(first: Tensors, second: Tensors) -> Tensors:
    pairs = zip(first, second, strict=True)
    return tuple((one - other).nan_to_num(0.0, 0.0, 0.0) for one, other in pairs)


def _size(change: Tensors) -> float:
    return math.hypot(*(float(part.norm()) for part in change))


class rounded_differently(TorchDispatchMode):  # noqa: N801 - reads as a context manager
    """Change what operators return in the last bits, in one of many ways.

    The change depends on the value alone, so that equal numbers stay equal: ties, and
    with them the branches that a function takes, stay as they are.
    """

    def __init__(self, variant: int) -> None:
        """Choose the way."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._multiplier = random.Random(variant).getrandbits(64) | 1  # noqa: S311

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operator, and change the new tensors that it returns."""
        result = func(*args, **(kwargs or {}))
        given = pytree.tree_leaves((args, kwargs))
        constant = not any(isinstance(leaf, Tensor) for leaf in given)
        if constant or func.overloadpacket.__name__ in _WITHOUT_ROUNDING:
            return result
        new = [leaf for leaf in pytree.tree_leaves(result) if _rounded(leaf)]
        if new:
            known = {_storage(leaf) for leaf in given if _has_storage(leaf)}
            saturating = func.overloadpacket.__name__ in _SATURATING
            for tensor in new:
                if _storage(tensor) not in known:
                    self._change(tensor, integers=saturating)
        return result

    def _change(self, tensor: Tensor, *, integers: bool) -> None:
        value = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        value = value.detach()
        bits = _BITS[value.dtype.itemsize]
        wide = torch.iinfo(bits).bits
        multiplier = self._multiplier % 2**wide
        multiplier -= 2**wide if multiplier >= 2 ** (wide - 1) else 0
        hashed = value.abs().view(bits)
        hashed = (hashed ^ (hashed >> wide // 2)) * multiplier
        share = (hashed >> (wide - 16)).to(value.dtype) / 2**15  # from -1 to 1
        exact = value.abs() > torch.finfo(value.dtype).max / 2  # not to infinity
        if not integers:
            exact |= (value == value.round()) & (value.abs() <= _EXACT)
        eps = torch.finfo(value.dtype).eps
        changed = torch.addcmul(value, value, SPAN * eps * share)
        value.copy_(torch.where(exact, value, changed))


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
