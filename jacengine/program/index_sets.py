"""Which inputs each value of a program depends on: its sparsity pattern, at all points.

The dependence of a tensor of `N` entries on `n` inputs is a boolean matrix `(N, n)`. An
operator multiplies it by its own pattern. What it reads of operands that do not depend
on the input (indices, masks, the zeros of a constant matrix) is their value of today.

Source: the sparsity patterns of SparseConnectivityTracer.jl, A. Hill, G. Dalle, 2024,
https://arxiv.org/abs/2501.17737 , on whole tensors in place of numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.fx import Node

from jacengine.errors import UnsupportedError
from jacengine.program.chain import SHAPE_ONLY
from jacengine.program.constant_zeros import ConstantZeros
from jacengine.program.operators import STOP, aten, run_node, shape_of
from jacengine.program.program import Program

Sets = Any
"""The inputs that each entry of a tensor depends on, a CSR matrix; `None`: no entry
depends on any. One for each tensor that an operator returns, in a tuple."""
Rule = Callable[["IndexSets", Node], Sets]
"""Finds the sets of what an operator returns from those of its operands."""

MOST = 2**24
"""Entries of one dependence matrix up to which it is formed."""


class TooDenseError(UnsupportedError):
    """A dependence matrix has too many entries to be a sparse one."""


class NoRuleError(UnsupportedError):
    """An operator has no rule."""


class IndexSets:
    """A walk over a program that finds the sets of every node."""

    def __init__(
        self,
        program: Program,
        values: Sequence[Any],
        labels: Mapping[int, Tensor],
        rules: Mapping[Any, Rule],
        *,
        unknown: Collection[int] = (),
    ) -> None:
        """Prepare a walk.

        Args:
            program: The program.
            values: Its inputs today.
            labels: The inputs that are differentiated, by their place: the number of
                each entry among those that are told apart.
            rules: The rules by operator; pointwise ones need none.
            unknown: The places of inputs whose values are not to be read, since they
                are others for other samples or calls.
        """
        self._rules = rules
        self._program = program
        self._known: dict[Node, Any] = dict(zip(program.inputs, values, strict=True))
        self._sets: dict[Node, Sets] = {}
        self._varying = {program.inputs[k] for k in unknown}
        self._zeros = ConstantZeros(self.varies, self.constant)
        self.columns = 1 + max(
            (int(n.max()) for n in labels.values() if n.numel()), default=-1
        )
        for k, numbers_of in labels.items():
            node = program.inputs[k]
            self._varying.add(node)
            self._sets[node] = _selection(numbers_of.flatten(), self.columns)

    def of_output(self) -> Sets:
        """Return the sets of what the program returns.

        Raises:
            UnsupportedError: An operator has no rule.
            TooDenseError: The matrix is not sparse.
        """
        for _ in self.walk():
            pass
        return self._sets.get(self._program.output)

    def walk(self) -> Iterator[tuple[Node, Sets]]:
        """Yield the sets of what operators return, one after the other.

        Raises:
            UnsupportedError: An operator has no rule.
            TooDenseError: The matrix is not sparse.
        """
        for node in self._program.operators:
            if self._varying.isdisjoint(node.all_input_nodes):
                continue
            self._varying.add(node)
            if "val" not in node.meta:  # it returns nothing: a check of values
                continue
            found = self._found(node)
            self._check(node, found)
            self._sets[node] = found
            yield node, found

    def of(self, node: Any) -> Sets:
        """Return the sets of an operand; `None` of what is no node."""
        return self._sets.get(node) if isinstance(node, Node) else None

    def varies(self, operand: Any) -> bool:
        """Tell whether the value of an operand depends on the input."""
        return operand in self._varying

    def constant(self, operand: Any) -> Any:
        """Return the value of an operand that does not vary with the input.

        Raises:
            UnsupportedError: It does.
        """
        if not isinstance(operand, Node):
            return operand
        if operand in self._varying:
            raise UnsupportedError(f"{operand} is an index that depends on the input")
        if operand not in self._known:
            for other in operand.all_input_nodes:
                self.constant(other)
            if operand.op == "get_attr":
                found = getattr(self._program.module, str(operand.target))
            else:
                found = run_node(operand, self._known)
            self._known[operand] = found
        return self._known[operand]

    def nonzero(self, operand: Any) -> Tensor | None:
        """Tell where an operand is not zero at all points; `None`: it may be anywhere.

        Zeros of parameters do not count, since those are trained.
        """
        return self._zeros.nonzero(operand)

    def factors(self, node: Node) -> Tensor | None:
        """Tell where no factor of a product is zero at all points."""
        return self._zeros.factors(node)

    def _found(self, node: Node) -> Sets:
        target: Any = node.target
        if target is operator.getitem:
            sets = self.of(node.args[0])
            return None if sets is None else sets[node.args[1]]
        if target is STOP or target in SHAPE_ONLY or not _floating(node):
            return None
        if all(self.of(operand) is None for operand in node.all_input_nodes):
            return None
        if target in OVERLAPPING:
            raise UnsupportedError(f"{target} may write an entry twice")
        if target in self._rules:
            return self._rules[target](self, node)
        if torch.Tag.pointwise in target.tags:
            return pointwise(self, node)
        raise NoRuleError(f"{target} has no rule for its sparsity pattern")

    def _check(self, node: Node, found: Sets) -> None:
        value = node.meta["val"]
        values = value if isinstance(value, tuple | list) else (value,)
        sets = found if isinstance(found, tuple) else (found,)
        for each, own in zip(values, sets, strict=True) if found is not None else ():
            if own is None:
                continue
            if own.shape != (each.numel(), self.columns):
                raise AssertionError(
                    f"{node.target}: sets of shape {own.shape} for {each.numel()}"
                )
            if own.nnz > MOST:
                raise TooDenseError("what it computes depends on most of the input")


def _floating(node: Node) -> bool:
    """Tell whether an operator returns a tensor that has a derivative."""
    value = node.meta["val"]
    values = value if isinstance(value, tuple | list) else (value,)
    return any(
        isinstance(v, Tensor) and (v.is_floating_point() or v.is_complex())
        for v in values
    )


def _selection(columns: Tensor, count: int) -> Sets:
    """Return the matrix that has one entry a row, or none where that is -1."""
    index = columns.numpy()
    inside = index >= 0
    starts = np.concatenate([[0], np.cumsum(inside)])
    ones = np.ones(int(starts[-1]), dtype=bool)
    return sparse.csr_array((ones, index[inside], starts), shape=(len(index), count))


def gather(sets: Sets, index: Tensor) -> Sets:
    """Take rows of a matrix; none where the index is -1."""
    if sets is None:
        return None
    flat = index.flatten()
    if torch.equal(flat, torch.arange(sets.shape[0], device="cpu")):
        return sets
    if bool((flat < 0).any()):
        return (_selection(flat, sets.shape[0]) @ sets).astype(bool)
    return sets[flat.numpy()]


def union(*sets: Sets) -> Sets:
    """Join what entries depend on, of operands of one shape."""
    found = None
    for own in sets:
        if own is not None:
            found = own if found is None else (found + own).astype(bool)
    return found


def merge(sets: Sets, labels: Tensor, count: int) -> Sets:
    """Join what the entries with one label depend on, for each label."""
    if sets is None:
        return None
    flat = labels.flatten().numpy()
    ones = np.ones(len(flat), dtype=bool)
    entries = (ones, (flat, np.arange(len(flat))))
    by_label = sparse.csr_array(entries, shape=(count, len(flat)))
    return (by_label @ sets).astype(bool)


def apply(pattern: Sets, sets: Sets) -> Sets:
    """Multiply the pattern of an operator with what its operand depends on."""
    return None if sets is None else (pattern @ sets).astype(bool)


def numbers(shape: Sequence[int]) -> Tensor:
    """Return the number of each entry of a tensor."""
    return torch.arange(math.prod(shape), device="cpu").view(tuple(shape))


def pointwise(walk: IndexSets, node: Node) -> Sets:
    """Join operands entry by entry; a product with a constant zero has no set."""
    value: Tensor = node.meta["val"]
    if node.target in ZERO_DERIVATIVE:
        return None
    found: Sets = None
    factors = walk.factors(node)
    for operand in node.all_input_nodes:
        sets = walk.of(operand)
        if sets is None:
            continue
        index = numbers(shape_of(operand)).expand(value.shape)
        if factors is not None:
            index = torch.where(factors, index, -1)
        if node.target is aten.where.self and operand is not node.args[0]:
            index = _chosen(walk, node, operand, index)
        found = union(found, gather(sets, index))
    return found


def _chosen(walk: IndexSets, node: Node, operand: Node, index: Tensor) -> Tensor:
    """Drop what a constant condition does not choose."""
    condition, first, second = node.args
    if first is second or walk.varies(condition):
        return index
    mask = walk.constant(condition).cpu()
    return torch.where(mask if operand is first else ~mask, index, -1)


OVERLAPPING = frozenset({aten.max_unpool2d.default, aten.max_unpool3d.default})
"""Operators whose derivative, where they write an entry twice, is of both."""
ZERO_DERIVATIVE = frozenset(
    {
        *(aten.sign.default, aten.sgn.default, aten.round.default, aten.floor.default),
        *(aten.ceil.default, aten.trunc.default, aten.heaviside.default),
        *(aten.floor_divide.default, aten.round.decimals),
    }
)
"""Pointwise operators whose derivative is zero."""
