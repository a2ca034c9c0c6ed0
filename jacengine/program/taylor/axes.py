"""Axes in another order: views, see `views`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import attribute, spellings
from jacengine.program.taylor.jet import Jet


def transposed(x: Jet, a: int, b: int) -> Jet:
    """Exchange two axes."""
    rank = max(x.primal.dim(), 1)
    y = x.primal.transpose(a, b)
    if not x.primal.dim():
        return x
    return x.moved(y, lambda t: t.transpose(a % rank + 1, b % rank + 1))


def last_two(x: Jet) -> Jet:
    """Exchange the last two axes."""
    return transposed(x, -2, -1)


def turned(x: Jet) -> Jet:
    """Exchange the axes of a matrix, or leave a vector as it is."""
    return x if x.primal.dim() < 2 else reversed_axes(x)


def reversed_axes(x: Jet) -> Jet:
    """Put the axes in reverse order."""
    return permuted(x, *reversed(range(x.primal.dim())))


def permuted(x: Jet, *dims: Any) -> Jet:
    """Put the axes in another order."""
    order: Sequence[int] = dims[0] if dims and not isinstance(dims[0], int) else dims
    rank = x.primal.dim()
    y = x.primal.permute(*order)
    return x.moved(y, lambda t: t.permute(0, *(axis % rank + 1 for axis in order)))


def moved_axes(
    x: Jet, source: int | Sequence[int], destination: int | Sequence[int]
) -> Jet:
    """Move axes to other places."""
    rank = x.primal.dim()

    def counted(dims: int | Sequence[int]) -> list[int]:
        every = [dims] if isinstance(dims, int) else dims
        return [axis % rank + 1 for axis in every]

    y = torch.movedim(x.primal, source, destination)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return x.moved(y, lambda t: t.movedim(counted(source), counted(destination)))


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a rule here, each with its rule."""
    table: dict[str, Rule] = {
        "transpose swapaxes swapdims": transposed,
        "t": turned,
        "adjoint": last_two,
        "permute": permuted,
        "movedim moveaxis": moved_axes,
    }
    for names, rule in table.items():
        for function in spellings(*names.split()):
            yield function, rule
    for name in ("mT", "mH"):
        yield attribute(name), last_two
    for name in ("T", "H"):
        yield attribute(name), reversed_axes
