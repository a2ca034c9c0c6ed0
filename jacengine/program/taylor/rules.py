"""Taylor rules by functions of torch.

Primitive rules compute with the coefficients of jets; decompositions call functions of
torch on the jets themselves. Modules list rules by the names of functions, which are
looked up at the first use: where a release of torch lacks a function, its rule is left
out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor import (
    arithmetic,
    contractions,
    decompositions,
    elementwise,
    normalization,
    pooling,
    views,
)
from jacengine.program.taylor.jet import TaylorRule, primals_of

Function = Callable[..., Any]

_OWNERS: dict[str, Any] = {
    "torch": torch,
    "Tensor": Tensor,
    "F": F,
    "special": torch.special,
    "linalg": torch.linalg,
}
"""Where `__torch_function__` finds functions; each alias is an object of its own."""

RULES: dict[str, TaylorRule] = {
    "Tensor.data": lambda x: x.primal.detach(),
    "Tensor.grad": lambda _: None,
    "Tensor.real": lambda x: x,
}
CONSTANT = (
    "detach zeros_like ones_like full_like empty_like rand_like randn_like "
    "randint_like new_zeros new_ones new_full new_empty new_tensor "
    "floor_divide __floordiv__ __rfloordiv__ heaviside"
)
"""Functions whose result does not depend on the values of their arguments, or in
steps."""


def aliases(names: str) -> Iterator[Function]:
    """Yield the functions of torch that have one of some names.

    Args:
        names: Separated by spaces; `tanh` is that of every owner, and `Tensor.T` what
            reads that attribute of tensors.
    """
    for name in names.split():
        owner, _, last = name.rpartition(".")
        for place in [_OWNERS[owner]] if owner else _OWNERS.values():
            found = getattr(place, last, None)
            if callable(found):
                yield found
            elif owner and found is not None:
                yield found.__get__


def _without_derivatives(function: Function) -> TaylorRule:
    """Return a rule that calls a function on primals."""

    def rule(*args: Any, **named: Any) -> Any:
        return function(*primals_of(args), **primals_of(named))

    return rule


def _table(
    rules: Mapping[str, TaylorRule],
    factories: Mapping[str, Callable[[Function], TaylorRule]],
) -> dict[Function, TaylorRule]:
    """Look up the functions that exist, each with its rule."""
    table = {
        function: rule for names, rule in rules.items() for function in aliases(names)
    }
    for names, make in factories.items():
        table |= {function: make(function) for function in aliases(names)}
    return table


@functools.cache
def primitives() -> Mapping[Function, TaylorRule]:
    """Return the primitive rules."""
    table = _table(RULES, {CONSTANT: _without_derivatives})
    for module in (elementwise, arithmetic, views, pooling, contractions):
        table |= _table(module.RULES, module.FACTORIES)
    return table


@functools.cache
def decomposed() -> Mapping[Function, TaylorRule]:
    """Return the rules that are decompositions."""
    rules = normalization.RULES | decompositions.RULES
    return _table(rules, decompositions.FACTORIES)
