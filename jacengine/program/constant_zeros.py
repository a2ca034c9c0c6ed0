"""Which entries of a program's values are zero at all points.

Zeros come from constants (a mask, a banded matrix, the seeds of a gradient) and stay
zeros in products; what is multiplied with them has no part in a sparsity pattern. Zeros
of parameters do not count, since those are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from jacengine.program.operators import aten, run_node, shape_of


class ConstantZeros:
    """The entries that are not constant zeros, found once for each node."""

    def __init__(
        self, varies: Callable[[Any], bool], constant: Callable[[Any], Any]
    ) -> None:
        """Prepare to look for them.

        Args:
            varies: Tells whether the value of a node depends on the input.
            constant: Returns the value of one that does not.
        """
        self._varies, self._constant = varies, constant
        self._known: dict[Node, Tensor | None] = {}

    def nonzero(self, operand: Any) -> Tensor | None:
        """Tell where an operand is not a constant zero; `None`: it may be anywhere."""
        if not isinstance(operand, Node):
            return None
        if operand not in self._known:
            self._known[operand] = self._found(operand)
        return self._known[operand]

    def factors(self, node: Node) -> Tensor | None:
        """Tell where no factor of a product is a constant zero."""
        places = FACTORS.get(node.target, ())
        found = [self.nonzero(node.args[k]) for k in places]
        masks = [mask for mask in found if mask is not None]
        if not masks:
            return None
        shape = shape_of(node)
        return torch.stack([mask.expand(shape) for mask in masks]).all(0)

    def _found(self, node: Node) -> Tensor | None:
        if node.target in FACTORS:
            return self.factors(node)
        if node.target is aten.neg.default:
            return self.nonzero(node.args[0])
        if node.target in MOVED or node.target in PADDED:
            return self._moved(node)
        if self._varies(node) or self._reads_parameters(node):
            return None
        value = self._constant(node)
        return (value.detach() != 0).cpu() if isinstance(value, Tensor) else None

    def _moved(self, node: Node) -> Tensor | None:
        """Move the entries of operands as an operator does."""
        masks = {operand: self.nonzero(operand) for operand in node.all_input_nodes}
        if node.target not in PADDED and all(m is None for m in masks.values()):
            return None
        every = {
            operand: torch.ones(shape_of(operand), dtype=torch.bool, device="cpu")
            if mask is None
            else mask
            for operand, mask in masks.items()
        }
        moved: Tensor = run_node(node, every)
        return moved

    def _reads_parameters(self, node: Node) -> bool:
        if node.op == "placeholder":
            value = self._constant(node)
            return isinstance(value, nn.Parameter) or (
                isinstance(value, Tensor) and value.requires_grad
            )
        return any(map(self._reads_parameters, node.all_input_nodes))


FACTORS: dict[Any, tuple[int, ...]] = {
    aten.mul.Tensor: (0, 1),
    aten.div.Tensor: (0,),
    aten.tanh_backward.default: (0,),
    aten.sigmoid_backward.default: (0,),
    aten.threshold_backward.default: (0,),
    aten.gelu_backward.default: (0,),
    aten.silu_backward.default: (0,),
    aten.softplus_backward.default: (0,),
    aten.elu_backward.default: (0,),
    aten.leaky_relu_backward.default: (0,),
}
"""Operators that return zero where one of these operands is zero."""
MOVED = frozenset(
    {
        *(aten.view.default, aten._unsafe_view.default, aten.reshape.default),
        *(aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim),
        *(aten.squeeze.dims, aten.expand.default, aten.permute.default),
        *(aten.t.default, aten.transpose.int, aten.slice.Tensor, aten.select.int),
        *(aten.cat.default, aten.stack.default, aten.slice_scatter.default),
        aten.select_scatter.default,
    }
)
"""Operators that return entries of their operands."""
PADDED = frozenset(
    {
        *(aten.slice_backward.default, aten.select_backward.default),
        aten.diagonal_backward.default,
    }
)
"""Operators that return those of their operand among zeros."""
