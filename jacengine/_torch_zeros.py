"""Products with tangents that are zero by construction, removed from lowered graphs.

Where one operand of an operator has a tangent and another has none, forward mode under
`torch.func` gives the other a tangent of zeros and multiplies with it: each linear
layer of a JVP then takes one more product of matrices. Plain forward mode and JAX
leave those out, so nothing is lost by it but the NaN of zero times infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

# pyright: reportPrivateUsage=false

_aten, _prims = torch.ops.aten, torch.ops.prims

MULTIPLYING = frozenset(
    {
        *(_aten.mm.default, _aten.bmm.default, _aten.mul.Tensor, _aten.mv.default),
        _aten.dot.default,
    }
)
"""Operators that are zero where any of the operands is."""

LINEAR = frozenset(
    {
        *(_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default),
        *(_aten.expand.default, _aten.permute.default, _aten.t.default),
        *(_aten.transpose.int, _aten.unsqueeze.default, _aten.slice.Tensor),
        *(_aten.squeeze.dim, _aten.squeeze.dims, _aten.squeeze.default),
        *(_aten.select.int, _aten.alias.default, _aten.clone.default),
        *(_aten.neg.default, _aten.sum.default, _aten.sum.dim_IntList),
        _aten.div.Tensor,
        *(_prims.convert_element_type.default, _prims.view_of.default),
    }
)
"""Operators that are zero where the first operand is."""


def keep_tangents(
    decomposition: Callable[..., Any] | None,
) -> Callable[..., Any]:
    """Decompose `zeros`, but those that autograd makes for a tangent."""

    def decomposed(size: Any, **kwargs: Any) -> Any:
        if decomposition is None or _is_of_autograd(size, kwargs):
            return NotImplemented
        return decomposition(size, **kwargs)

    return decomposed


def _is_of_autograd(size: Any, kwargs: dict[str, Any]) -> bool:
    """Tell whether autograd makes these zeros: Python always says whether to pin."""
    return not size and "pin_memory" not in kwargs


def drop_zeros(graph: GraphModule) -> None:
    """Remove sums and products with zero tangents from a graph of fake tensors."""
    zeros = set[Node]()
    for node in graph.graph.nodes:
        if node.op == "call_function" and _is_zero(node, zeros):
            zeros.add(node)
        elif node.target in {_aten.add.Tensor, _aten.sub.Tensor}:
            left = _without_zero(node, zeros)
            if left is not None:
                node.replace_all_uses_with(left)
    graph.graph.eliminate_dead_code()
    for node in zeros:
        if node.target is _aten.zeros.default and node.users:
            node.target = _aten.full.default
            node.args = (node.args[0], 0)
    graph.recompile()


def _is_zero(node: Node, zeros: set[Node]) -> bool:
    operands = [operand for operand in node.args if isinstance(operand, Node)]
    if node.target is _aten.zeros.default:
        return _is_of_autograd(node.args[0], node.kwargs)
    if node.target in MULTIPLYING:
        return not zeros.isdisjoint(operands)
    if node.target is _aten.convolution.default:
        bias = node.args[2]
        return (bias is None or bias in zeros) and not zeros.isdisjoint(operands[:2])
    if node.target in {_aten.add.Tensor, _aten.sub.Tensor}:
        return len(operands) == len(node.args) and zeros.issuperset(operands)
    return node.target in LINEAR and bool(operands) and operands[0] in zeros


def _without_zero(node: Node, zeros: set[Node]) -> Node | None:
    """Return the operand that a sum is equal to, if the other one is zero."""
    first, second = node.args[:2]
    if second in zeros:
        left = first
    elif first in zeros and node.target is _aten.add.Tensor and not node.kwargs:
        left = second
    else:
        return None
    if not isinstance(left, Node):
        return None
    own, value = left.meta["val"], node.meta["val"]
    alike = isinstance(own, Tensor) and own.dtype == value.dtype
    return left if alike and own.shape == value.shape else None
