"""Contractions with weights: linear layers, `einsum`, and convolutions.

Linear in each operand, see `bilinear`. An `einsum` gets one more letter, for the
directions; a convolution takes directions as more samples.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor.bilinear import matmul, multilinear
from jacengine.program.taylor.broadcast_tangents import expand_trailing
from jacengine.program.taylor.jet import Jet, TaylorRule, primal_of
from jacengine.program.taylor.lazy import LazyTangents
from jacengine.program.taylor.sums import add
from jacengine.program.taylor.views import transpose_matrix


def _linear(x: Any, weight: Any, bias: Any = None) -> Jet:
    if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
        if isinstance(weight, Jet):
            y: Any = matmul(x, transpose_matrix(weight))
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


RULES: dict[str, TaylorRule] = {"einsum": _einsum, "linear": _linear}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "F.conv1d F.conv2d F.conv3d F.conv_transpose1d F.conv_transpose2d "
    "F.conv_transpose3d": _convolution
}
