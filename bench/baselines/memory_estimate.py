"""Memory estimates of methods that compute all directions at once.

Libraries start such a computation without a look at its size; a lower bound of what
they allocate skips those that would exhaust the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from jacengine.bench.baselines.pure_function import PureFunction
from jacengine.selection.budget import format_bytes, to_bytes


def of_jacobian(pure: PureFunction, *, forward: bool, mapped: bool) -> str | None:
    """Return how much does not fit, if the directions of a Jacobian do not.

    Args:
        pure: The function.
        forward: Whether directions are tangents, and not cotangents.
        mapped: Whether the method maps over samples, which then share directions.
    """
    output, largest = _largest_tensor(pure)
    if forward:
        directions = pure.in_size
    elif pure.batch_size is None or (pure.by_params and not mapped):
        directions = output.numel()
    else:
        directions = math.prod(output.shape[1:])
    # The argument of an operator and its result, at the least.
    needed = 2 * directions * largest
    if forward and mapped and pure.by_params:
        # Batched matrix products copy the tangent of the weight for each sample.
        weight = max(p.nbytes for p in pure.primal.values())
        needed = max(needed, directions * len(output) * weight)
    return _reason_too_large(directions, needed, output.device)


def of_hessian(
    pure: PureFunction, *, count: Callable[[PureFunction], int], looped: bool
) -> str | None:
    """Return how much does not fit, if the directions of a Hessian do not.

    Args:
        pure: The function.
        count: Counts the directions that are propagated together.
        looped: Whether samples are computed one by one.
    """
    output, largest = _largest_tensor(pure)
    directions = count(pure)
    samples = 1 if looped else pure.batch_size or 1
    row = pure.in_size * samples * output.dtype.itemsize
    share = largest * samples // (pure.batch_size or 1)
    return _reason_too_large(
        directions, 2 * directions * max(share, row), output.device
    )


def _reason_too_large(directions: int, needed: int, device: torch.device) -> str | None:
    if needed <= to_bytes(0.5, device):
        return None
    return (
        f"all {directions} directions at once need at least {format_bytes(needed)}, "
        "more than half of what is free"
    )


def _largest_tensor(pure: PureFunction) -> tuple[Tensor, int]:
    """Return the output, and the bytes of the largest tensor that was made for it."""
    with torch.no_grad(), _LargestStorage() as largest:
        output = pure.of_primal(pure.primal)
    return output, largest.bytes


class _LargestStorage(TorchDispatchMode):
    """Records the size of the largest storage that an operator returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return result
