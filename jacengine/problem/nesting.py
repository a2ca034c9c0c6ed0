"""Calls inside a function that is being differentiated.

Their results have no graph unless `create_graph=True`, so what differentiates the
function around them would find zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import (
    in_forward_mode,
    is_wrapped,
    tensors_of,
    transform_depth,
)
from jacengine.errors import UnsupportedError
from jacengine.problem.callee import Callee


class _Evaluations(threading.local):
    """How many evaluations of users' functions this thread is in."""

    depth: int = 0


EVALUATIONS = _Evaluations()


def is_nested() -> bool:
    """Tell whether this thread is inside a function that is being differentiated."""
    return bool(EVALUATIONS.depth or transform_depth() or in_forward_mode())


def refuse_lost_derivatives(
    callee: Callee, leaves: Sequence[Any], *, create_graph: bool
) -> None:
    """Refuse a call whose derivative is taken in turn, where that would be lost.

    Args:
        callee: The function of the call.
        leaves: What the call is given.
        create_graph: Whether its result has a graph.

    Raises:
        UnsupportedError: It is called inside a function that is being differentiated,
            by jacengine, `torch.func` or forward mode.
    """
    if not is_nested():
        return
    found = callee.references
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    tensors += found.tensors
    if any(map(is_wrapped, tensors)):
        raise UnsupportedError(
            "jacengine was called on tensors of torch.func.vmap, grad, jvp or forward "
            "mode, of which it cannot read values. Let jacengine take the batch "
            "(batch_dim=0) or the second derivative (jacengine.hessian), or "
            "differentiate the result of create_graph=True by torch.autograd."
        )
    inside = EVALUATIONS.depth and torch.is_grad_enabled() and not create_graph
    tensors += tensors_of(found.modules)
    if inside and any(tensor.requires_grad for tensor in tensors):
        raise UnsupportedError(
            "jacengine was called inside a function that is being differentiated, but "
            "its result would have no graph, so its derivative would be lost. Pass "
            "create_graph=True to the inner call, or detach its arguments."
        )
