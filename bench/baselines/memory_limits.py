"""Whether what is computed at once fits into memory.

Vectorised methods carry all directions through the function together. Libraries do not
look how much that is before they start; here it is, so that nothing is killed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from jacengine.bench.baselines.varied import Varied
from jacengine.interface import Unsupported
from jacengine.selection.budget import format_bytes, to_bytes

_SHARE = 0.5
"""Of the free memory: more than what is foreseen will be alive at once."""


def too_hungry(varied: Varied, *, forward: bool, mapped: bool) -> Unsupported | None:
    """Say that all directions at once do not fit, if so.

    Args:
        varied: What is differentiated.
        forward: Whether directions are those of the input, and not of the output.
        mapped: Whether samples are mapped over, and so share directions in any case.

    Returns:
        `None` if they may fit, else by how much they do not.
    """
    output, widest = _tried(varied)
    directions = _directions(varied, output, forward=forward, mapped=mapped)
    # An operator's argument and its result, at the least.
    needed = 2 * directions * widest
    if forward and mapped and varied.by_params:
        # Batched matrix products take a copy of the weight's tangent for each sample.
        weight = max(p.nbytes for p in varied.value.values())
        needed = max(needed, directions * len(output) * weight)
    return _too_much(directions, needed, output.device)


def too_hungry_twice(
    varied: Varied, directions: int, *, looped: bool
) -> Unsupported | None:
    """Say that all directions of a Hessian at once do not fit, if so.

    Args:
        varied: What is differentiated.
        directions: How many go through the function together.
        looped: Whether samples come one after the other.

    Returns:
        `None` if they may fit, else by how much they do not.
    """
    output, widest = _tried(varied)
    together = 1 if varied.samples is None or looped else varied.samples
    # Each of them varies, and each gives a row.
    row = varied.in_size * together * output.dtype.itemsize
    share = widest * together // (varied.samples or 1)
    return _too_much(directions, 2 * directions * max(share, row), output.device)


def _tried(varied: Varied) -> tuple[Tensor, int]:
    """Return the output, and the bytes of the largest tensor on the way to it."""
    with torch.no_grad(), _Widest() as widest:
        output = varied.fn(varied.value, *varied.rest)
    return output, widest.bytes


def _too_much(directions: int, needed: int, device: torch.device) -> Unsupported | None:
    if needed <= to_bytes(_SHARE, device):
        return None
    return Unsupported(
        f"all {directions} directions at once need at least {format_bytes(needed)}, "
        "more than half of what is free"
    )


def _directions(varied: Varied, output: Tensor, *, forward: bool, mapped: bool) -> int:
    """Count what goes through the function together."""
    if forward:
        return varied.in_size
    if varied.samples is None or (varied.by_params and not mapped):
        return output.numel()
    return math.prod(output.shape[1:])


class _Widest(TorchDispatchMode):
    """Remembers the largest tensor that is made, in bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        made = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(made):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return made
