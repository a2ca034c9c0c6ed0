"""Preallocated results must not be where the function reads from.

A result is written while the function is still evaluated: `out=` that is an argument,
a parameter or a tensor of a closure would change the function in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine._torch_private import address_of, tensors_of
from jacengine.errors import ArgumentError
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem


def refuse_shared_memory(problem: Problem, bound: BoundFunction, out: Any) -> None:
    """Compare the memory of `out=` with what the function reads.

    Raises:
        ArgumentError: They overlap.
    """
    written = [_span(leaf) for leaf in pytrees.flatten(out)[0]]
    for what, tensor in _read(problem, bound):
        span = _span(tensor)
        if span is None:
            continue
        for other in written:
            if other is not None and span[0] < other[1] and other[0] < span[1]:
                raise ArgumentError(
                    f"out= shares memory with {what}, which the function reads while "
                    "the result is written. Pass memory of its own, such as "
                    "torch.empty_like(out)."
                )


def _read(problem: Problem, bound: BoundFunction) -> Iterator[tuple[str, Any]]:
    """Yield what the function can be seen to read."""
    found = bound.callee.refer_now()
    yield from zip(problem.call_spec.labels, bound.leaves, strict=True)
    for tensor in tensors_of(found.modules):
        yield "a parameter or a buffer", tensor
    for tensor in found.tensors:
        yield "a tensor that the function refers to", tensor


def _span(tensor: Any) -> tuple[int, int] | None:
    """Return the addresses from the first to after the last entry of a tensor."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
        return None
    if not tensor.numel() or address_of(tensor) is None:
        return None
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    entries = 1 + sum((size - 1) * stride for size, stride in strides)
    start = tensor.data_ptr()
    return start, start + entries * tensor.element_size()
