"""Inverses and determinants of matrices.

    (A^-1)_t = -A^-1 T A^-1      (A^-1)_s = A^-1 (2 sum_k T_k A^-1 T_k - S) A^-1
    (log|det A|)_t = tr A^-1 T   (log|det A|)_s = tr A^-1 S - sum_k tr (A^-1 T_k)^2

Forward mode over forward mode takes the factors of a matrix in `det` and `slogdet`
for constants, in torch 2.13; so these have rules.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.broadcast_tangents import expand_trailing
from jacengine.program.taylor.elementwise import chain_rule
from jacengine.program.taylor.jet import Jet, TaylorRule


def _inverse_and_products(a: Jet) -> tuple[Tensor, Tensor]:
    """Return A^-1, and A^-1 T_k of every direction.

    Raises:
        UnsupportedError: A matrix is singular.
    """
    try:
        inverse = torch.linalg.inv(a.primal)
    except RuntimeError as error:
        raise UnsupportedError(f"A matrix has no inverse ({error}).") from error
    return inverse, inverse @ expand_trailing(a.tangents, a.primal.shape, 2)


def _inv(a: Jet) -> Jet:
    inverse, products = _inverse_and_products(a)
    second, own = 2 * (products @ products).sum(0), a.dense_second_order()
    if own is not None:
        second = second - inverse @ own
    return a.with_coefficients(inverse, -products @ inverse, second @ inverse)


def _log_abs_det(a: Jet, value: Tensor) -> Jet:
    """Return the logarithm of the absolute determinant, given its value."""
    inverse, products = _inverse_and_products(a)
    second, own = -(products * products.mT).sum((0, -2, -1)), a.dense_second_order()
    if own is not None:
        second = second + (inverse * own.mT).sum((-2, -1))
    tangents = products.diagonal(dim1=-2, dim2=-1).sum(-1)
    return a.with_coefficients(value, tangents, second)


def _slogdet(a: Jet) -> Any:
    found = torch.linalg.slogdet(a.primal)
    return type(found)((found[0], _log_abs_det(a, found[1])))


def _det(a: Jet) -> Jet:
    """Return the sign of the determinant times the exponential of its logarithm."""
    y = torch.linalg.det(a.primal)
    return chain_rule(_log_abs_det(a, y.abs().log()), y, y, y)


RULES: dict[str, TaylorRule] = {
    "inv inverse": _inv,
    "slogdet": _slogdet,
    "logdet": lambda a: _log_abs_det(a, torch.logdet(a.primal)),
    "det": _det,
}
