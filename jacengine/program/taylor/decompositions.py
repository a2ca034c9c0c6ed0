"""Functions decomposed into other functions of torch, which run on jets.

Sources are torch's documented formulas.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.elementwise import chain_rule, sqrt_or_zero
from jacengine.program.taylor.jet import Jet, TaylorRule

Axes = int | tuple[int, ...] | list[int] | None


def _logsumexp(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Return m + log(sum(exp(x - m))), with the largest entry m as a constant."""
    top = x.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    found: Tensor = (x - top).exp().sum(dim, keepdim=True).log() + top
    return found if keepdim else found.squeeze(dim)


def _log_softmax(
    x: Tensor, dim: int, *_: Any, dtype: torch.dtype | None = None, **__: Any
) -> Tensor:
    x = x if dtype is None else x.to(dtype)
    return x - _logsumexp(x, dim, keepdim=True)


def _softmax(x: Tensor, dim: int, *_: Any, **named: Any) -> Tensor:
    return _log_softmax(x, dim, **named).exp()


def _mse_loss(
    x: Any, y: Any, *_: Any, reduction: str = "mean", weight: Any = None, **__: Any
) -> Any:
    if weight is not None or reduction not in ("mean", "sum", "none"):
        return NotImplemented
    found = (x - y) * (x - y)
    return found if reduction == "none" else getattr(found, reduction)()


def _solve(a: Tensor, b: Tensor, *, left: bool = True) -> Tensor:
    """Return A^-1 B or B A^-1, with torch's reading of what is a batch of vectors."""
    inverse: Tensor = torch.linalg.inv(a)
    if b.dim() == 1 or (b.dim() == a.dim() - 1 and b.shape == a.shape[:-1]):
        return (inverse @ b.unsqueeze(-1)).squeeze(-1)
    return inverse @ b if left else b @ inverse


def _own_source(function: TaylorRule) -> TaylorRule:
    """Return a function of torch's, written in Python, that calls others on jets.

    It would dispatch itself first; the copy asks no tensor for a rule of its own.
    """
    assert isinstance(function, types.FunctionType)
    names = dict(function.__globals__)
    for name in names:
        if name.startswith("has_torch_function"):
            names[name] = lambda *_: False
    copy = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _addmm(x: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    product = a @ b
    product = product if alpha == 1 else alpha * product
    return (x if beta == 1 else beta * x) + product


def _bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    found = torch.einsum("...i,oij,...j->...o", a, weight, b)
    return found if bias is None else found + bias


def _cat_at_least(tensors: Sequence[Tensor], rank: int, axis: int) -> Tensor:
    raised = [p if p.dim() >= rank else p.reshape(1, *p.shape) for p in tensors]
    return torch.cat(raised, axis if raised[0].dim() > axis else 0)


def _attention(  # noqa: PLR0917 - torch's signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Return softmax(q k^T / sqrt(n) + mask) v.

    Raises:
        UnsupportedError: There is dropout.
    """
    if dropout_p:
        raise UnsupportedError("Attention with dropout is random; call eval() first.")
    if enable_gqa:
        return NotImplemented
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-1, -2)
    if is_causal:
        attn_mask = torch.ones(
            scores.shape[-2:], dtype=torch.bool, device=query.device
        ).tril()
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return _softmax(scores, -1) @ value


def _root(x: Tensor) -> Any:
    """Return the square root, of slope 0 at 0."""
    if not isinstance(x, Jet):
        return x.sqrt()
    y = x.primal.sqrt()
    return chain_rule(x, y, *sqrt_or_zero(x.primal, y))


def _vector_norm(
    x: Tensor,
    ord: Any = 2,  # noqa: A002 - the name in torch
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Any:
    if ord not in (2, "fro", None) or dtype is not None:  # codespell:ignore fro
        return NotImplemented
    return _root((x * x).sum(dim, keepdim))


def _norm(x: Tensor, p: Any = None, *where: Any, **named: Any) -> Any:
    """Return `torch.norm`: of matrices too, where it is that of their entries."""
    return _vector_norm(x, p, *where, **named)


def _linalg_norm(
    x: Tensor,
    ord: Any = None,  # noqa: A002 - the name in torch
    dim: Axes = None,
    *keepdim: Any,
    **named: Any,
) -> Any:
    """Return `torch.linalg.norm` without an order, or of vectors."""
    if ord is not None and not (isinstance(dim, int) or x.dim() == 1):
        return NotImplemented
    return _vector_norm(x, ord, dim, *keepdim, **named)


def _cdist(a: Tensor, b: Tensor, p: float = 2.0, *_: Any, **__: Any) -> Any:
    return _vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def _var(
    x: Tensor,
    dim: Axes | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return sum((x - mean)^2) / (n - correction)."""
    if isinstance(dim, bool):
        return NotImplemented
    centred = x - x.mean(dim, keepdim=True)
    squares = (centred * centred).sum(dim, keepdim)
    count = x.numel() // max(squares.numel(), 1)
    removed = float(unbiased) if correction is None else correction
    return squares / (count - removed) if count > removed else NotImplemented


def _std(*args: Any, **named: Any) -> Any:
    found = _var(*args, **named)
    return found if found is NotImplemented else _root(found)


RULES: dict[str, TaylorRule] = {
    "logsumexp": _logsumexp,
    "log_softmax": _log_softmax,
    "softmax": _softmax,
    "softmin": lambda x, dim, *_, **named: _softmax(-x, dim, **named),
    "solve": _solve,
    "mse_loss": _mse_loss,
    "logit": lambda x: (x / (1 - x)).log(),
    "hypot": lambda a, b: (a * a + b * b).sqrt(),
    "addcmul": lambda x, a, b, *, value=1: x + value * (a * b),
    "addcdiv": lambda x, a, b, *, value=1: x + value * (a / b),
    "addmm baddbmm addmv": _addmm,
    "outer ger": lambda a, b: a.unsqueeze(-1) * b,
    "bilinear": _bilinear,
    "hstack": lambda tensors: _cat_at_least(tensors, 1, 1),
    "vstack row_stack": lambda tensors: _cat_at_least(tensors, 2, 0),
    "__iter__": lambda x: iter(x.unbind(0)),
    "scaled_dot_product_attention": _attention,
    "vector_norm": _vector_norm,
    "torch.norm Tensor.norm": _norm,
    "linalg.norm": _linalg_norm,
    "cdist": _cdist,
    "var": _var,
    "std": _std,
}
FACTORIES: dict[str, Callable[[TaylorRule], TaylorRule]] = {
    "F.normalize multi_head_attention_forward": _own_source
}
