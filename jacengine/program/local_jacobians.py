"""Local Jacobians of single operators in closed form, as maps of factors.

A factor is the Jacobian of a part of a program, `(m, n)`: rows when it is multiplied
from the right with a local Jacobian (`pull`), columns from the left (`push`). The
identity and diagonals are kept as such, so that the first factor of a product costs
nothing, a pointwise operator next to another one a vector, and a linear layer at an end
of the chain its own weight.

To add a rule, add an operator to one of the tables here, and to the list of
`tests/program/test_local_jacobians.py`, which compares it with autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from jacengine.program.operators import aten, shape_of

VIEWS = frozenset(
    {
        *(aten.view.default, aten._unsafe_view.default, aten.reshape.default),
        *(aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim),
        *(aten.squeeze.dims, aten.clone.default, aten.flatten.using_ints),
    }
)
"""Operators that return the same entries in the same order."""
LIKE_POINTWISE = frozenset({aten._prelu_kernel.default})
"""Operators with that tag whose operands cannot be broadcast by the caller."""
SUMS = frozenset({aten.add.Tensor})
"""Pointwise operators whose derivative is one, as long as they take no `alpha`."""

DERIVATIVES: dict[Any, Callable[[Tensor, Tensor], Tensor]] = {
    aten.tanh.default: lambda _, y: 1 - y * y,
    aten.sigmoid.default: lambda _, y: y * (1 - y),
    aten.relu.default: lambda _, y: (y > 0).to(y.dtype),
    aten.exp.default: lambda _, y: y,
    aten.sin.default: lambda x, _: x.cos(),
    aten.cos.default: lambda x, _: -x.sin(),
    aten.log.default: lambda x, _: x.reciprocal(),
    aten.sqrt.default: lambda _, y: 0.5 / y,
    aten.reciprocal.default: lambda _, y: -y * y,
    aten.neg.default: lambda _, y: -torch.ones_like(y),
}
"""The derivatives of common functions, of the operand and the result; those of other
pointwise operators are autograd's, which takes longer to set up."""


@dataclass(frozen=True)
class Identity:
    """The identity of a tensor's entries."""

    like: Tensor

    def dense(self) -> Tensor:
        """Return it as a matrix."""
        like = self.like
        return torch.eye(like.numel(), dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Diagonal:
    """A diagonal matrix, by its entries."""

    entries: Tensor

    def dense(self) -> Tensor:
        """Return it as a matrix."""
        return torch.diag_embed(self.entries)


Factor = Identity | Diagonal | Tensor


def dense(factor: Factor) -> Tensor:
    """Return a factor as a matrix `(m, n)`."""
    return factor if isinstance(factor, Tensor) else factor.dense()


def add(one: Factor | None, other: Factor) -> Factor:
    """Add factors of two paths between the same tensors."""
    if one is None:
        return other
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return dense(one) + dense(other)
    return Diagonal(_entries(one) + _entries(other))


def _entries(factor: Identity | Diagonal) -> Tensor:
    if isinstance(factor, Diagonal):
        return factor.entries
    return torch.ones_like(factor.like).flatten()


@dataclass(frozen=True)
class Same:
    """The local Jacobian of what returns the same entries in the same order."""

    def pull(self, rows: Factor) -> Factor:
        """Multiply rows with it."""
        return rows

    def push(self, columns: Factor) -> Factor:
        """Multiply it with columns."""
        return columns


@dataclass(frozen=True)
class Scaling:
    """The local Jacobian of a pointwise operator by one of its operands.

    Attributes:
        weights: The derivative, of the result's shape; `None` where it is one.
        source: The operand's shape, which may be broadcast to ...
        target: ... the result's.
    """

    weights: Tensor | None
    source: torch.Size
    target: torch.Size

    def pull(self, rows: Factor) -> Factor:
        """Multiply rows with it, and sum over what was broadcast."""
        scaled = self._scaled(rows, 1)
        if self.source == self.target:
            return scaled
        matrix = dense(scaled)
        count = matrix.shape[0]
        lead = (1,) * (len(self.target) - len(self.source))
        spread = matrix.reshape(count, *self.target)
        summed = spread.sum_to_size(count, *lead, *self.source)
        return summed.reshape(count, math.prod(self.source))

    def push(self, columns: Factor) -> Factor:
        """Broadcast columns, and multiply it with them."""
        if self.source != self.target:
            matrix = dense(columns)
            count = matrix.shape[1]
            spread = matrix.reshape(*self.source, count)
            spread = spread.expand(*self.target, count)
            columns = spread.reshape(math.prod(self.target), count)
        return self._scaled(columns, 0)

    def _scaled(self, factor: Factor, axis: int) -> Factor:
        if self.weights is None:
            return factor
        weights = self.weights.flatten()
        if isinstance(factor, Identity):
            return Diagonal(weights)
        if isinstance(factor, Diagonal):
            return Diagonal(factor.entries * weights)
        return factor * weights.unsqueeze(1 - axis)


@dataclass(frozen=True)
class Linear:
    """The local Jacobian of `x @ matrix`, for each row of `x` the same.

    Attributes:
        matrix: `(K, O)`.
        repeats: How many rows `x` has.
    """

    matrix: Tensor
    repeats: int

    def pull(self, rows: Factor) -> Factor:
        """Multiply rows with it."""
        wide = self.matrix.t()
        if self.repeats == 1 and isinstance(rows, Identity):
            return wide
        if self.repeats == 1 and isinstance(rows, Diagonal):
            return rows.entries.unsqueeze(1) * wide
        given = dense(rows)
        count = given.shape[0]
        found = given.reshape(count * self.repeats, wide.shape[0]) @ wide
        return found.reshape(count, self.repeats * wide.shape[1])

    def push(self, columns: Factor) -> Factor:
        """Multiply it with columns."""
        if self.repeats == 1 and isinstance(columns, Identity):
            return self.matrix.t()
        if self.repeats == 1 and isinstance(columns, Diagonal):
            return self.matrix.t() * columns.entries
        given = dense(columns).t()
        count = given.shape[0]
        wide, narrow = self.matrix.shape
        found = given.reshape(count * self.repeats, wide) @ self.matrix
        return found.reshape(count, self.repeats * narrow).t()


LocalJacobian = Same | Scaling | Linear


def is_linear(node: Node, active: Sequence[Node]) -> bool:
    """Tell whether an operator multiplies an active operand with a constant matrix."""
    if node.target not in {aten.mm.default, aten.addmm.default}:
        return False
    return list(active) == [node.args[-2]] and not node.kwargs


def is_pointwise(node: Node) -> bool:
    """Tell whether an operator computes each entry of the result by itself."""
    target: Any = node.target
    tags = getattr(target, "tags", ())
    return torch.Tag.pointwise in tags and target not in LIKE_POINTWISE


def has_rule(node: Node, active: Sequence[Node]) -> bool:
    """Tell whether the local Jacobian of an operator is known in closed form."""
    value = node.meta.get("val")
    if node.target in VIEWS or is_pointwise(node):
        kinds = {operand.meta["val"].dtype for operand in active}
        return (
            isinstance(value, Tensor)
            and value.is_floating_point()
            and kinds == {value.dtype}
        )
    return is_linear(node, active)


def local_jacobian(
    node: Node, operand: Node, active: Sequence[Node], values: dict[Node, Any]
) -> LocalJacobian:
    """Return the local Jacobian of an operator by one of its operands.

    Args:
        node: The operator, which has a rule.
        operand: The operand.
        active: All of its operands that depend on the input.
        values: The value of every node.
    """
    if node.target in VIEWS:
        return Same()
    if is_linear(node, active):
        matrix: Tensor = values[node.args[-1]]  # type: ignore[index]
        return Linear(matrix, math.prod(values[operand].shape[:-1]))
    source, target = shape_of(operand), shape_of(node)
    if node.target in SUMS and node.args.count(operand) == 1 and not node.kwargs:
        return Scaling(None, source, target)
    if node.target in DERIVATIVES:
        derivative = DERIVATIVES[node.target]
        return Scaling(derivative(values[operand], values[node]), source, target)
    if node.target is aten.mul.Tensor and node.args.count(operand) == 1:
        other = next(factor for factor in node.args if factor is not operand)
        factor: Any = values[other] if isinstance(other, Node) else other
        ones: Tensor = torch.ones_like(values[node])
        return Scaling(ones * factor, source, target)
    alone = _by_operand(node, operand, values)
    result, pullback = torch.func.vjp(alone, values[operand].expand(target))[:2]
    (weights,) = pullback(torch.ones_like(result))
    return Scaling(weights, source, target)


def _by_operand(
    node: Node, operand: Node, values: dict[Node, Any]
) -> Callable[[Tensor], Tensor]:
    def run(value: Tensor) -> Tensor:
        own = {**values, operand: value}
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), own.__getitem__)
        target: Any = node.target
        found: Tensor = target(*args, **kwargs)
        return found

    return run
