"""Matrix products: where a constant factor has zeros, there is no dependence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor
from torch.fx import Node

from jacengine.errors import UnsupportedError
from jacengine.program.index_set_rules.table import (
    args_of,
    argument,
    kron,
    merged,
    rule,
)
from jacengine.program.index_sets import IndexSets, Sets, apply, gather, numbers, union
from jacengine.program.operators import shape_of


@rule("mm.default", "bmm.default", "mv.default", "dot.default")
def _product(walk: IndexSets, node: Node) -> Sets:
    left, right = args_of(node)
    return _contraction(walk, left, right)


@rule("addmm.default", "baddbmm.default", "addmv.default")
def _added_product(walk: IndexSets, node: Node) -> Sets:
    added, left, right = args_of(node)[:3]
    index = numbers(shape_of(added)).expand(shape_of(node))
    return union(_contraction(walk, left, right), gather(walk.of(added), index))


@rule("linalg_cross.default")
def _cross(walk: IndexSets, node: Node) -> Sets:
    shape = shape_of(node)
    axis = argument(node, "dim", -1) % len(shape)
    others = sparse.csr_array(~np.eye(3, dtype=bool))
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    pattern = kron(sparse.eye_array(outer), others, sparse.eye_array(inner))
    found: Sets = None
    for operand in args_of(node)[:2]:
        index = numbers(shape_of(operand)).expand(shape)
        found = union(found, apply(pattern, gather(walk.of(operand), index)))
    return found


@rule("_scaled_dot_product_flash_attention_for_cpu.default")
def _attention(walk: IndexSets, node: Node) -> Sets:
    query, key, value = args_of(node)[:3]
    if walk.of(argument(node, "attn_mask")) is not None:
        raise UnsupportedError("the mask of an attention depends on the input")
    *outer, length, size = shape_of(query)
    others, heads = shape_of(key)[-2], math.prod(outer)
    own = merged(walk.of(query), (heads * length, size), (1,))
    read = union(
        *(
            merged(walk.of(x), (heads * others, shape_of(x)[-1]), (1,))
            for x in (key, value)
        )
    )
    reads = np.ones((length, others), dtype=bool)
    if argument(node, "is_causal"):
        reads = np.tril(reads)
    found = union(own, apply(kron(sparse.eye_array(heads), reads), read))
    index = numbers((heads * length, 1)).expand(-1, shape_of(value)[-1])
    return gather(found, index), found


@dataclass(frozen=True)
class _Sizes:
    """The sizes of `(batch, rows, inner) @ (batch, inner, columns)`."""

    batch: int
    rows: int
    inner: int
    columns: int


def _contraction(walk: IndexSets, left: Any, right: Any) -> Sets:
    """Return the sets of a matrix product, batched or not, or with vectors."""
    a, b = shape_of(left), shape_of(right)
    sizes = _Sizes(
        a[0] if len(a) == 3 else 1,
        a[-2] if len(a) > 1 else 1,
        a[-1],
        b[-1] if len(b) > 1 else 1,
    )
    return union(
        _of_left(walk.of(left), walk.nonzero(right), sizes),
        _of_right(walk.of(right), walk.nonzero(left), sizes),
    )


def _of_left(sets: Sets, right: Tensor | None, sizes: _Sizes) -> Sets:
    """Depend on a row of the left factor, where the right one is not zero."""
    if sets is None:
        return None
    if right is None or bool(right.all()):
        rows = sizes.batch * sizes.rows
        found = merged(sets, (rows, sizes.inner), (1,))
        return gather(found, numbers((rows, 1)).expand(-1, sizes.columns))
    factors = right.reshape(sizes.batch, sizes.inner, sizes.columns).numpy()
    same = sparse.eye_array(sizes.rows)
    patterns = [kron(same, sparse.csr_array(factor.T)) for factor in factors]
    return apply(sparse.block_diag(patterns, format="csr"), sets)


def _of_right(sets: Sets, left: Tensor | None, sizes: _Sizes) -> Sets:
    """Depend on a column of the right factor, where the left one is not zero."""
    if sets is None:
        return None
    if left is None or bool(left.all()):
        found = merged(sets, (sizes.batch, sizes.inner, sizes.columns), (1,))
        index = numbers((sizes.batch, 1, sizes.columns))
        return gather(found, index.expand(-1, sizes.rows, -1))
    factors = left.reshape(sizes.batch, sizes.rows, sizes.inner).numpy()
    same = sparse.eye_array(sizes.columns)
    patterns = [kron(sparse.csr_array(factor), same) for factor in factors]
    return apply(sparse.block_diag(patterns, format="csr"), sets)
