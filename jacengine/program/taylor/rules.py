"""Which function of torch has which rule.

Leaf rules work on the parts of jets; composite ones call torch on the jets themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from jacengine.program.taylor import (
    attention,
    axes,
    bilinear,
    contractions,
    decompositions,
    elementwise,
    indexing,
    linalg,
    normalization,
    norms,
    pooling,
    sums,
    views,
    where,
)
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import attribute, spellings
from jacengine.program.taylor.pytree_args import primals_of

CONSTANT = (
    "detach zeros_like ones_like full_like empty_like rand_like randn_like "
    "randint_like new_zeros new_ones new_full new_empty new_tensor "
    "floor_divide __floordiv__ __rfloordiv__ heaviside"
)
"""What gives a tensor that does not depend on its argument's value."""


def _constant(function: Rule) -> Rule:
    """Return a rule that reads the value of a jet and forgets its derivatives."""

    def rule(*args: Any, **named: Any) -> Any:
        return function(*primals_of(args), **primals_of(named))

    return rule


def _constants() -> Iterator[tuple[Rule, Rule]]:
    for name in CONSTANT.split():
        for function in spellings(name):
            yield function, _constant(function)
    yield attribute("data"), lambda x: x.primal.detach()
    yield attribute("grad"), lambda _: None
    yield attribute("real"), lambda x: x


LEAVES: dict[Callable[..., Any], Rule] = dict(
    chain(
        _constants(),
        elementwise.rules(),
        sums.rules(),
        views.rules(),
        axes.rules(),
        indexing.rules(),
        where.rules(),
        pooling.rules(),
        bilinear.rules(),
        linalg.rules(),
        contractions.rules(),
    )
)

COMPOSITES: dict[Callable[..., Any], Rule] = dict(
    chain(
        decompositions.rules(),
        norms.rules(),
        normalization.rules(),
        attention.rules(),
    )
)
