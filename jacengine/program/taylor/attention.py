"""Attention: its formula runs on jets, as in `composite`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import UnsupportedError
from jacengine.program.taylor.decompositions import in_parts, softmax
from jacengine.program.taylor.elementwise import Rule
from jacengine.program.taylor.function_aliases import spellings


def attention(  # noqa: PLR0917 - torch's signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q k^T / sqrt(n) + mask) v.

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
    return softmax(scores, -1) @ value


def rules() -> Iterator[tuple[Rule, Rule]]:
    """Yield the functions that have a formula here, each with its formula."""
    for function in spellings("scaled_dot_product_attention"):
        yield function, attention
    for function in spellings("multi_head_attention_forward"):
        yield function, in_parts(function)
