"""Inverses and determinants of matrices.

    (A^-1)_t = -A^-1 T A^-1      (A^-1)_l = A^-1 (2 sum_k T_k A^-1 T_k - L) A^-1
    (log|det A|)_t = tr A^-1 T   (log|det A|)_l = tr A^-1 L - sum_k tr (A^-1 T_k)^2

Forward mode over forward mode takes the factors of a matrix in `det` and `slogdet`
for constants, in torch 2.13; so these have rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.broadcast_tangents import expanded_last
from jacengine.program.taylor.elementwise import Rule, mapped
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet


def _inverted(a: Jet) -> tuple[Tensor, Tensor]:
    """Return A^-1, and A^-1 T_k of every direction.

    Raises:
        UnsupportedError: A matrix is singular.
    """
    try:
        inverse = torch.linalg.inv(a.primal)
    except RuntimeError as error:
        raise UnsupportedError(f"A matrix has no inverse ({error}).") from error
    return inverse, inverse @ expanded_last(a.tangents, a.primal.shape, 2)


def inv(a: Jet) -> Jet:
    """Invert matrices."""
    inverse, turned = _inverted(a)
    bend = 2 * (turned @ turned).sum(0)
    curvature = a.dense_curvature()
    if curvature is not None:
        bend = bend - inverse @ curvature
    return a.becomes(inverse, -turned @ inverse, bend @ inverse)


def logabsdet(a: Jet, value: Tensor) -> Jet:
    """Return the logarithm of the absolute determinant, given its value."""
    inverse, turned = _inverted(a)
    bend = -(turned * turned.mT).sum((0, -2, -1))
    curvature = a.dense_curvature()
    if curvature is not None:
        bend = bend + (inverse * curvature.mT).sum((-2, -1))
    return a.becomes(value, turned.diagonal(dim1=-2, dim2=-1).sum(-1), bend)


def slogdet(a: Jet) -> Any:
    """Return the sign, a constant, and the logarithm of the absolute determinant."""
    found = torch.linalg.slogdet(a.primal)
    return type(found)((found[0], logabsdet(a, found[1])))


def logdet(a: Jet) -> Jet:
    """Return the logarithm of the determinant."""
    return logabsdet(a, torch.logdet(a.primal))


def det(a: Jet) -> Jet:
    """Return the determinant: its sign times the exponential of the logarithm."""
    y = torch.linalg.det(a.primal)
    return mapped(logabsdet(a, y.abs().log()), y, y, y)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    table: dict[str, Rule] = {
        "inv inverse": inv,
        "slogdet": slogdet,
        "logdet": logdet,
        "det": det,
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
