"""Parts of a Hessian, as users of libraries that give the whole one take them.

Written with methods that tensors and JAX's arrays share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from jacengine.problem.quantity import Quantity


def parted(hessian: Callable[..., Any], quantity: Quantity) -> Callable[..., Any]:
    """Take a part of what a function returns.

    Args:
        hessian: Maps a point, and anything else, to the Hessian there: `(*out, *in,
            *in)`, or for a dict of parameters `(*out, *p, *q)` by both names.
        quantity: What is wanted of it.

    Returns:
        A function of the same arguments.
    """
    if quantity == "hessian":
        return hessian

    def part(value: Any, *rest: Any) -> Any:
        H = hessian(value, *rest)
        if not isinstance(value, dict):
            return _part(H, value, quantity)
        named = cast("dict[str, Any]", value)
        blocks = {n: _part(H[n][n], x, quantity) for n, x in named.items()}
        return sum(blocks.values()) if quantity == "laplacian" else blocks

    return part


def _part(H: Any, value: Any, quantity: Quantity) -> Any:
    """Return the diagonal `(*out, *in)` of a block, or its sum `(*out)`."""
    out = H.shape[: H.ndim - 2 * value.ndim]
    size = math.prod(value.shape)
    diagonal = H.reshape(*out, size, size).diagonal(0, -2, -1)
    if quantity == "laplacian":
        return diagonal.sum(-1)
    return diagonal.reshape(*out, *value.shape)
