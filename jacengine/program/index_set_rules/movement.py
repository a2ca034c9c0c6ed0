"""Movement: the operator itself is run on the numbers of its operands' entries."""

from __future__ import annotations

from typing import Any

import torch
from scipy import sparse
from torch import Tensor
from torch.fx import Node

from jacengine.program.index_set_rules.table import args_of, argument, rule
from jacengine.program.index_sets import IndexSets, Sets, gather, merge, numbers, union
from jacengine.program.operators import aten, run_node, shape_of


@rule(
    *("view.default", "_unsafe_view.default", "reshape.default", "permute.default"),
    *("transpose.int", "t.default", "expand.default", "slice.Tensor", "select.int"),
    *("squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default"),
    *("cat.default", "stack.default", "roll.default", "flip.default", "repeat.default"),
    *("clone.default", "index.Tensor", "gather.default", "index_select.default"),
    *("unfold.default", "diagonal.default", "diag_embed.default"),
    *("split.Tensor", "split_with_sizes.default", "unbind.int", "tril.default"),
    *("triu.default", "select_scatter.default", "slice_scatter.default"),
    *("scatter.src", "embedding.default", "_reshape_alias.default", "alias.default"),
    *("unsafe_split.Tensor", "diagonal_scatter.default"),
    *("reflection_pad1d.default", "reflection_pad2d.default", "rot90.default"),
    *("replication_pad1d.default", "replication_pad2d.default", "take.default"),
    *("upsample_nearest1d.default", "upsample_nearest2d.default", "im2col.default"),
    *("pixel_shuffle.default", "pixel_unshuffle.default", "index_copy.default"),
    *("slice_backward.default", "select_backward.default"),
    *("diagonal_backward.default",),
)
def _movement(walk: IndexSets, node: Node) -> Sets:
    parts: list[Any] = []
    values: dict[Node, Any] = {}
    count = 0
    for operand in node.all_input_nodes:
        sets, shape = walk.of(operand), shape_of(operand)
        if sets is not None:
            values[operand] = numbers(shape).double() + (count + 1)
            count += sets.shape[0]
            parts.append(sets)
        elif operand.meta["val"].is_floating_point():
            values[operand] = torch.zeros(shape, dtype=torch.float64, device="cpu")
        else:
            values[operand] = walk.constant(operand).cpu()
    moved = run_node(node, values)
    together = parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")
    if isinstance(moved, Tensor):
        return gather(together, moved.long() - 1)
    return tuple(gather(together, each.long() - 1) for each in moved)


@rule("constant_pad_nd.default")
def _constant_pad(walk: IndexSets, node: Node) -> Sets:
    operand, padding, *_ = args_of(node)
    padded = aten.constant_pad_nd(numbers(shape_of(operand)), padding, -1)
    return gather(walk.of(operand), padded)


@rule("_to_copy.default")
def _cast(walk: IndexSets, node: Node) -> Sets:
    return walk.of(node.args[0])


@rule("native_dropout.default", "dropout.default")
def _dropout(walk: IndexSets, node: Node) -> Sets:
    # Only a dropout of probability zero is in a program: it changes nothing.
    value = node.meta["val"]
    sets = walk.of(node.args[0])
    return sets if isinstance(value, Tensor) else (sets, None)


@rule("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(walk: IndexSets, node: Node) -> Sets:
    operand, mask, value = args_of(node)
    index = numbers(shape_of(operand)).expand(shape_of(node))
    filled = gather(walk.of(value), torch.zeros_like(index))
    if not walk.varies(mask):
        index = torch.where(walk.constant(mask).cpu(), -1, index)
    return union(gather(walk.of(operand), index), filled)


@rule("index_put.default")
def _index_put(walk: IndexSets, node: Node) -> Sets:
    if not argument(node, "accumulate"):
        return _movement(walk, node)
    base, indices, values = args_of(node)[:3]
    chosen = [
        slice(None) if index is None else walk.constant(index).cpu()
        for index in indices
    ]
    return _added(walk, base, values, numbers(shape_of(base))[tuple(chosen)])


@rule("index_add.default")
def _index_add(walk: IndexSets, node: Node) -> Sets:
    base, dim, index, source = args_of(node)[:4]
    places = numbers(shape_of(base)).index_select(dim, walk.constant(index).cpu())
    return _added(walk, base, source, places)


@rule("scatter_add.default", "scatter_reduce.two")
def _scatter_add(walk: IndexSets, node: Node) -> Sets:
    base, dim, index, source = args_of(node)[:4]
    where = walk.constant(index).cpu()
    inside = tuple(slice(0, size) for size in where.shape)
    places = numbers(shape_of(base)).gather(dim, where)
    taken = gather(walk.of(source), numbers(shape_of(source))[inside])
    return union(walk.of(base), merge(taken, places, shape_of(base).numel()))


def _added(walk: IndexSets, base: Any, source: Any, places: Tensor) -> Sets:
    """Add the entries of a source to those of a base at these places."""
    index = numbers(shape_of(source)).expand(places.shape)
    added = merge(gather(walk.of(source), index), places, shape_of(base).numel())
    return union(walk.of(base), added)
