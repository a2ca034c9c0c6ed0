"""Entries from one of two tensors, by a condition: linear, as in `pieces`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.broadcast_tangents import aligned, total
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet, jets_in
from jacengine.program.taylor.pytree_args import value_of


def chosen(condition: Tensor, a: Any, b: Any) -> Any:
    """Take entries from one of two, either a jet."""
    first = next(jets_in((condition, a, b)))
    if condition is first:
        return NotImplemented
    y = torch.where(condition, value_of(a), value_of(b))
    tangents = curvature = None
    for source, where in ((a, condition), (b, ~condition)):
        if isinstance(source, Jet):
            nothing = source.primal.new_zeros(())
            part = torch.where(where, aligned(source.tangents, y.dim()), nothing)
            tangents = total(tangents, part)
            if source.curvature is not None:
                bend = torch.where(where, source.curvature, nothing)
                curvature = total(curvature, bend)
    assert tangents is not None
    return first.becomes(y, aligned(tangents, y.dim()), curvature)


def masked(x: Any, mask: Tensor, value: Any) -> Any:
    """Put a value in the place of entries."""
    return chosen(~mask, x, value)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    for function in spellings("masked_fill"):
        yield function, masked
    yield torch.where, chosen
    yield Tensor.where, lambda a, condition, b: chosen(condition, a, b)
