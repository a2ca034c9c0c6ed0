"""Norms, distances and variances: formulas that run on jets, as in `composite`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.program.taylor.elementwise import Rule, mapped
from jacengine.program.taylor.function_aliases import spellings
from jacengine.program.taylor.jet import Jet
from jacengine.program.taylor.powers import sqrt_or_zero

FROBENIUS: object = inspect.signature(torch.norm).parameters["p"].default

Axes = int | tuple[int, ...] | list[int] | None


def root(x: Tensor) -> Any:
    """Return the square root, flat at 0."""
    if not isinstance(x, Jet):
        return x.sqrt()
    y = x.primal.sqrt()
    return mapped(x, y, *sqrt_or_zero(x.primal, y))


def vector_norm(
    x: Tensor,
    ord: float | str = 2,  # noqa: A002 - the name in torch
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Any:
    """sqrt(sum(x^2)), flat at 0; other norms go elsewhere."""
    if ord not in (2, FROBENIUS, None) or dtype is not None:
        return NotImplemented
    return root((x * x).sum(dim, keepdim))


def norm(
    x: Tensor,
    p: float | str | None = None,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Any:
    """`torch.norm`: of vectors, and of matrices where it is that of their entries."""
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)


def linalg_norm(
    x: Tensor,
    ord: Any = None,  # noqa: A002 - the name in torch
    dim: Axes = None,
    keepdim: bool = False,
    **named: Any,
) -> Any:
    """`torch.linalg.norm` without an order, or of vectors."""
    if ord is not None and not (isinstance(dim, int) or x.dim() == 1):
        return NotImplemented
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim, **named)


def cdist(a: Tensor, b: Tensor, p: float = 2.0, *_: Any, **__: Any) -> Any:
    """Norms of all differences."""
    return vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def variance(
    x: Tensor,
    dim: Axes | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """sum((x - mean)^2) / (n - correction)."""
    if isinstance(dim, bool):
        return NotImplemented
    centred = x - x.mean(dim, keepdim=True)
    squares = (centred * centred).sum(dim, keepdim)
    count = x.numel() // max(squares.numel(), 1)
    removed = float(unbiased) if correction is None else correction
    return squares / max(count - removed, 0) if count > removed else NotImplemented


def deviation(*args: Any, **named: Any) -> Any:
    """Return the square root of the variance."""
    found = variance(*args, **named)
    return found if found is NotImplemented else root(found)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a formula here, each with its formula."""
    table: dict[str, Rule] = {
        "vector_norm": vector_norm,
        "cdist": cdist,
        "var": variance,
        "std": deviation,
    }
    for names, formula in table.items():
        for function in spellings(*names.split()):
            yield function, formula
    yield from ((f, norm) for f in (torch.norm, Tensor.norm))
    yield torch.linalg.norm, linalg_norm
