"""Diagonals and traces of Hessians, from libraries that compute the whole matrix.

Written with methods that tensors and JAX arrays share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

from jacengine.problem.quantity import Quantity


def select_part(hessian: Callable[..., Any], quantity: Quantity) -> Callable[..., Any]:
    """Compose a function that returns Hessians with the selection of a part.

    Args:
        hessian: Maps a point, and anything else, to the Hessian there: `(*out, *in,
            *in)`, or for a dict of parameters `(*out, *p, *q)` by both names.
        quantity: The part; a whole Hessian, or a Jacobian, is returned as it is.

    Returns:
        A function of the same arguments.
    """
    if quantity in {"jacobian", "hessian"}:
        return hessian

    def part(primal: Any, *rest: Any) -> Any:
        H = hessian(primal, *rest)
        if not isinstance(primal, dict):
            return _part(H, primal, quantity)
        named = cast("dict[str, Any]", primal)
        blocks = {n: _part(H[n][n], x, quantity) for n, x in named.items()}
        return sum(blocks.values()) if quantity == "laplacian" else blocks

    return part


def _part(H: Any, primal: Any, quantity: Quantity) -> Any:
    """Return the diagonal `(*out, *in)` of a block, or its trace `(*out)`."""
    out = H.shape[: H.ndim - 2 * primal.ndim]
    size = math.prod(primal.shape)
    diagonal = H.reshape(*out, size, size).diagonal(0, -2, -1)
    if quantity == "laplacian":
        return diagonal.sum(-1)
    return diagonal.reshape(*out, *primal.shape)
