"""Products with weights: layers, `einsum`, and convolutions.

Linear in each operand, see `bilinear`. An `einsum` gets one more letter, for the
directions; a convolution takes directions as more samples.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor.axes import turned
from jacengine.program.taylor.bilinear import matmul, multilinear
from jacengine.program.taylor.broadcast_tangents import expanded_last
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.lazy import Deferred
from jacengine.program.taylor.pytree_args import value_of
from jacengine.program.taylor.sums import add


def linear(x: Any, weight: Any, bias: Any = None) -> Jet:
    """Apply a layer's weight and bias."""
    if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
        if isinstance(weight, Jet):
            y: Any = matmul(x, turned(weight))
        else:
            y = linear(x, weight) if isinstance(x, Jet) else F.linear(x, weight)
        return y if bias is None else add(y, bias)
    curvature = x.dense_curvature()

    def tangents() -> Tensor:
        return F.linear(expanded_last(x.tangents, x.primal.shape, 1), weight)

    return x.becomes(
        F.linear(x.primal, weight, bias),
        Deferred(tangents, weight),
        None if curvature is None else F.linear(curvature, weight),
    )


def _explicit(equation: str) -> tuple[list[str], str]:
    """Split an equation into the letters of its operands and of its result."""
    equation = equation.replace(" ", "")
    if "->" in equation:
        inputs, output = equation.split("->")
        return inputs.split(","), output
    letters = equation.replace("...", "").replace(",", "")
    once = "".join(sorted(a for a in set(letters) if letters.count(a) == 1))
    return equation.split(","), ("..." if "..." in equation else "") + once


def einsum(equation: Any, *operands: Any) -> Any:
    """Sum products over indices, for any number of operands."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        return NotImplemented
    inputs, output = _explicit(equation)
    letter = next(a for a in string.ascii_letters if a not in equation)
    shapes = [value_of(operand).shape for operand in operands]

    def lifted(changed: list[Any], active: Sequence[int]) -> Tensor:
        names = inputs.copy()
        for i in active:
            names[i] = letter + names[i]
            changed[i] = expanded_last(changed[i], shapes[i], len(shapes[i]))
        return torch.einsum(f"{','.join(names)}->{letter}{output}", *changed)

    return multilinear(operands, lambda *x: torch.einsum(equation, *x), lifted)


def convolved(function: Callable[..., Tensor]) -> Rule:
    """Return the rule of a convolution."""
    digits = re.search(r"(\d)d$", function.__name__)
    assert digits is not None
    axes = int(digits[1]) + 1

    def rule(x: Any, weight: Any, bias: Any = None, *args: Any, **named: Any) -> Any:
        if not isinstance(x, Jet) or isinstance(weight, Jet) or isinstance(bias, Jet):
            return NotImplemented
        shape, curvature = x.primal.shape, x.dense_curvature()
        t = expanded_last(x.tangents, shape, axes)
        y = function(t.flatten(0, -axes - 1), weight, None, *args, **named)
        return x.becomes(
            function(x.primal, weight, bias, *args, **named),
            y.unflatten(0, t.shape[:-axes]),
            None
            if curvature is None
            else function(curvature, weight, None, *args, **named),
        )

    return rule


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    for function in spellings("einsum"):
        yield function, einsum
    for function in spellings("linear"):
        yield function, linear
    for name in ("conv1d", "conv2d", "conv3d"):
        yield getattr(F, name), convolved(getattr(F, name))
        transposed = getattr(F, name.replace("v", "v_transpose"))
        yield transposed, convolved(transposed)
