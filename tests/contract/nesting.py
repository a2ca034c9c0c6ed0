"""How blocks of a Jacobian, one for each output and input leaf, become the result."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.contract.tree import PyTree, is_float, tree_map

Index = Tensor | slice
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """The derivative of one output leaf with respect to one input leaf.

    Attributes:
        values: Shape `(*lead, O, I)`, both flattened; `lead` is empty or `(B,)`.
        out_shape: Shape of the output leaf, of one sample if there are samples.
        in_shape: Shape of the input leaf, likewise.
    """

    values: Tensor
    out_shape: Shape
    in_shape: Shape

    def shaped(self) -> Tensor:
        """Return the values as `(*lead, *out, *in)`."""
        lead = self.values.shape[:-2]
        return self.values.reshape((*lead, *self.out_shape, *self.in_shape))


def nest(
    blocks: Sequence[Sequence[Block]],
    *,
    out_tree: PyTree,
    in_tree: PyTree,
    rows: Index | None,
    columns: Index | None,
) -> PyTree:
    """Nest blocks as `torch.func.jacrev` does: outputs outside, inputs inside.

    Args:
        blocks: `blocks[o][i]` belongs to the floating-point leaves `o` and `i`.
        out_tree: The structure outside, given by any tree that has it.
        in_tree: The structure inside; leaves that are not varied become `None`.
        rows: Entries of all outputs, flattened and concatenated, that are wanted. If
            given, the structure outside shrinks to one leaf, and `*out` to one axis.
        columns: The same for the inputs.

    Returns:
        The tree of Jacobians.
    """
    table = [list(line) for line in blocks]
    if rows is not None:
        table = [[_rows(column, rows) for column in zip(*table, strict=True)]]
        out_tree = torch.empty(0)
    if columns is not None:
        table = [[_columns(line, columns)] for line in table]
        in_tree = torch.empty(0)
    lines = iter(table)
    return tree_map(
        lambda leaf: _inside(next(lines), in_tree) if is_float(leaf) else None,
        out_tree,
    )


def _inside(line: Sequence[Block], in_tree: PyTree) -> PyTree:
    remaining = iter(line)
    return tree_map(
        lambda leaf: next(remaining).shaped() if is_float(leaf) else None, in_tree
    )


def _rows(column: Sequence[Block], rows: Index) -> Block:
    values = torch.cat([block.values for block in column], dim=-2)
    picked = torch.arange(values.shape[-2])[rows]
    values = values.index_select(-2, picked)
    return Block(values, (len(picked),), column[0].in_shape)


def _columns(line: Sequence[Block], columns: Index) -> Block:
    values = torch.cat([block.values for block in line], dim=-1)
    picked = torch.arange(values.shape[-1])[columns]
    values = values.index_select(-1, picked)
    return Block(values, line[0].out_shape, (len(picked),))
