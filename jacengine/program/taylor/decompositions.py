"""Functions with formulas in other functions of torch, which run on jets.

Sources are torch's documented formulas.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings


def logsumexp(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """M + log(sum(exp(x - m))), with the largest entry m as a constant."""
    top = x.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    found: Tensor = (x - top).exp().sum(dim, keepdim=True).log() + top
    return found if keepdim else found.squeeze(dim)


def log_softmax(
    x: Tensor, dim: int, *_: Any, dtype: torch.dtype | None = None, **__: Any
) -> Tensor:
    """X - logsumexp(x)."""
    x = x if dtype is None else x.to(dtype)
    return x - logsumexp(x, dim, keepdim=True)


def softmax(x: Tensor, dim: int, *_: Any, **named: Any) -> Tensor:
    """exp(log_softmax(x))."""
    return log_softmax(x, dim, **named).exp()


def mse_loss(
    x: Any, y: Any, *_: Any, reduction: str = "mean", weight: Any = None, **__: Any
) -> Any:
    """Return the squares of differences, summed or averaged."""
    if weight is not None or reduction not in ("mean", "sum", "none"):
        return NotImplemented
    found = (x - y) * (x - y)
    return found if reduction == "none" else getattr(found, reduction)()


def solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    """A^-1 B or B A^-1, with torch's reading of what is a batch of vectors."""
    inverse: Tensor = torch.linalg.inv(a)
    if b.dim() == 1 or (b.dim() == a.dim() - 1 and b.shape == a.shape[:-1]):
        return (inverse @ b.unsqueeze(-1)).squeeze(-1)
    return inverse @ b if left else b @ inverse


def in_parts(function: Callable[..., Any]) -> Rule:
    """Return a function of torch's, written in Python, that calls others on jets.

    It would hand itself over first; the copy asks no tensor for a rule of its own.
    """
    assert isinstance(function, types.FunctionType)
    names = dict(function.__globals__)
    for name in names:
        if name.startswith("has_torch_function"):
            names[name] = lambda *_: False
    parts = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__
    )
    parts.__kwdefaults__ = function.__kwdefaults__
    return parts


def _addcdiv(x: Any, a: Any, b: Any, *, value: float = 1) -> Any:
    return x + value * (a / b)


def _added(x: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    product = a @ b
    product = product if alpha == 1 else alpha * product
    return (x if beta == 1 else beta * x) + product


def _bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    found = torch.einsum("...i,oij,...j->...o", a, weight, b)
    return found if bias is None else found + bias


def _first(pieces: Sequence[Tensor], least: int, axis: int) -> Tensor:
    raised = [p if p.dim() >= least else p.reshape(1, *p.shape) for p in pieces]
    return torch.cat(raised, axis if raised[0].dim() > axis else 0)


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a formula here, each with its formula."""
    table: dict[str, Rule] = {
        "logsumexp": logsumexp,
        "log_softmax": log_softmax,
        "softmax": softmax,
        "softmin": lambda x, dim, *_, **named: softmax(-x, dim, **named),
        "solve": solve,
        "mse_loss": mse_loss,
        "logit": lambda x: (x / (1 - x)).log(),
        "hypot": lambda a, b: (a * a + b * b).sqrt(),
        "addcmul": lambda x, a, b, *, value=1: x + value * (a * b),
        "addcdiv": _addcdiv,
        "addmm baddbmm addmv": _added,
        "outer ger": lambda a, b: a.unsqueeze(-1) * b,
        "bilinear": _bilinear,
        "hstack": lambda pieces: _first(pieces, 1, 1),
        "vstack row_stack": lambda pieces: _first(pieces, 2, 0),
        "__iter__": lambda x: iter(x.unbind(0)),
    }
    for names, formula in table.items():
        for function in spellings(*names.split()):
            yield function, formula
    yield F.normalize, in_parts(F.normalize)
