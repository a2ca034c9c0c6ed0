"""Products of matrices, linear layers, `einsum`, convolutions, inverses, determinants.

Linear in each operand, see `arithmetic`. An `einsum` gets one more letter, for the
directions; a convolution takes directions as more samples. Of a matrix,

    (A^-1)_t = -A^-1 T A^-1      (A^-1)_s = A^-1 (2 sum_k T_k A^-1 T_k - S) A^-1
    (log|det A|)_t = tr A^-1 T   (log|det A|)_s = tr A^-1 S - sum_k tr (A^-1 T_k)^2

Forward mode over forward mode takes the factors of a matrix in `det` and `slogdet`
for constants, in torch 2.13; so these have rules.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.arithmetic import add, multilinear
from jacengine.program.taylor.elementwise import chain_rule
from jacengine.program.taylor.jet import (
    Jet,
    LazyTangents,
    TaylorRule,
    align_rank,
    expand_trailing,
    primal_of,
)
from jacengine.program.taylor.views import transpose_matrix


def _matmul(a: Any, b: Any) -> Jet:
    """Multiply matrices, as `torch.matmul` does for all numbers of axes."""
    shapes = [primal_of(a).shape, primal_of(b).shape]
    rank = max(2, *map(len, shapes))

    def batched(operands: list[Any], active: Sequence[int]) -> Tensor:
        full: list[Tensor] = []
        for i, (operand, shape) in enumerate(zip(operands, shapes, strict=True)):
            x, core = operand, min(len(shape), 2)
            if i in active:
                x = expand_trailing(x, shape, core)
            if core == 1:
                x = x.unsqueeze(-1 if i else -2)
            full.append(align_rank(x, rank) if i in active else x)
        y = torch.matmul(*full)
        added = tuple(i - 2 for i, shape in enumerate(shapes) if len(shape) == 1)
        return y.squeeze(added) if added else y

    return multilinear((a, b), torch.matmul, batched)


def _linear(x: Any, weight: Any, bias: Any = None) -> Jet:
    if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
        if isinstance(weight, Jet):
            y: Any = _matmul(x, transpose_matrix(weight))
        else:
            y = _linear(x, weight) if isinstance(x, Jet) else F.linear(x, weight)
        return y if bias is None else add(y, bias)
    second = x.dense_second_order()

    def tangents() -> Tensor:
        return F.linear(expand_trailing(x.tangents, x.primal.shape, 1), weight)

    return x.with_coefficients(
        F.linear(x.primal, weight, bias),
        LazyTangents(tangents, weight),
        None if second is None else F.linear(second, weight),
    )


def _subscripts(equation: str) -> tuple[list[str], str]:
    """Split an equation into the letters of its operands and of its result."""
    equation = equation.replace(" ", "")
    if "->" in equation:
        inputs, output = equation.split("->")
        return inputs.split(","), output
    letters = equation.replace("...", "").replace(",", "")
    once = "".join(sorted(a for a in set(letters) if letters.count(a) == 1))
    return equation.split(","), ("..." if "..." in equation else "") + once


def _einsum(equation: Any, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        return NotImplemented
    inputs, output = _subscripts(equation)
    letter = next(a for a in string.ascii_letters if a not in equation)
    shapes = [primal_of(operand).shape for operand in operands]

    def batched(changed: list[Any], active: Sequence[int]) -> Tensor:
        names = inputs.copy()
        for i in active:
            names[i] = letter + names[i]
            changed[i] = expand_trailing(changed[i], shapes[i], len(shapes[i]))
        return torch.einsum(f"{','.join(names)}->{letter}{output}", *changed)

    return multilinear(operands, lambda *x: torch.einsum(equation, *x), batched)


def _convolution(function: TaylorRule) -> TaylorRule:
    digits = re.search(r"(\d)d$", function.__name__)
    assert digits is not None
    axes = int(digits[1]) + 1

    def rule(x: Any, weight: Any, bias: Any = None, *args: Any, **named: Any) -> Any:
        if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
            return NotImplemented
        second = x.dense_second_order()
        t = expand_trailing(x.tangents, x.primal.shape, axes)
        y = function(t.flatten(0, -axes - 1), weight, None, *args, **named)
        return x.with_coefficients(
            function(x.primal, weight, bias, *args, **named),
            y.unflatten(0, t.shape[:-axes]),
            None if second is None else function(second, weight, None, *args, **named),
        )

    return rule


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
    "matmul mm bmm mv dot vdot __matmul__": _matmul,
    "__rmatmul__": lambda a, b: _matmul(b, a),
    "einsum": _einsum,
    "linear": _linear,
    "inv inverse": _inv,
    "slogdet": _slogdet,
    "logdet": lambda a: _log_abs_det(a, torch.logdet(a.primal)),
    "det": _det,
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "F.conv1d F.conv2d F.conv3d F.conv_transpose1d F.conv_transpose2d "
    "F.conv_transpose3d": _convolution
}
