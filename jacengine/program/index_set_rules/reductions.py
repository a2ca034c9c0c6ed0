"""Reductions, and what mixes all entries along some axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.fx import Node

from jacengine.errors import UnsupportedError
from jacengine.program.index_set_rules.table import (
    args_of,
    argument,
    kron,
    listed,
    merged,
    mixed,
    rule,
)
from jacengine.program.index_sets import (
    MOST,
    IndexSets,
    Sets,
    TooDenseError,
    apply,
    gather,
    numbers,
    union,
)
from jacengine.program.operators import shape_of


@rule(
    *("sum.default", "sum.dim_IntList", "mean.default", "mean.dim", "amax.default"),
    *("amin.default", "prod.default", "prod.dim_int", "logsumexp.default"),
    *("var.correction", "std.correction", "linalg_vector_norm.default", "max.default"),
    *("min.default", "max.dim", "min.dim", "norm.ScalarOpt_dim", "norm.Scalar"),
    *("var_mean.correction", "median.default", "median.dim", "kthvalue.default"),
    *("mode.default", "aminmax.default"),
)
def _reduction(walk: IndexSets, node: Node) -> Sets:
    operand = args_of(node)[0]
    shape = shape_of(operand)
    return _each(node, merged(walk.of(operand), shape, _axes(node, shape)))


def _axes(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that an operator works along; all, if it names none."""
    last = "kthvalue" in str(node.target) or "mode" in str(node.target)
    dims = argument(node, "dim", -1 if last else None)
    axes = range(len(shape)) if dims is None or dims == [] else listed(dims)
    return tuple(axis % max(1, len(shape)) for axis in axes)


def _each(node: Node, sets: Sets) -> Sets:
    """Give these sets to each floating-point tensor that an operator returns."""
    value = node.meta["val"]
    if isinstance(value, Tensor):
        return sets
    return tuple(sets if each.is_floating_point() else None for each in value)


@rule("_softmax.default", "_log_softmax.default", "sort.default", "sort.stable")
def _along_an_axis(walk: IndexSets, node: Node) -> Sets:
    operand = args_of(node)[0]
    shape = shape_of(operand)
    axis = argument(node, "dim", -1) % max(1, len(shape))
    return _each(node, mixed(walk.of(operand), shape, (axis,)))


@rule("topk.default")
def _largest(walk: IndexSets, node: Node) -> Sets:
    operand, value = args_of(node)[0], node.meta["val"][0]
    shape = shape_of(operand)
    axis = argument(node, "dim", -1) % max(1, len(shape))
    kept = [1 if k == axis else size for k, size in enumerate(shape)]
    found = merged(walk.of(operand), shape, (axis,))
    return gather(found, numbers(kept).expand(value.shape)), None


@rule(
    *("cumsum.default", "cumprod.default", "logcumsumexp.default"),
    *("cummax.default", "cummin.default"),
)
def _cumulative(walk: IndexSets, node: Node) -> Sets:
    operand = args_of(node)[0]
    shape = shape_of(operand)
    if not shape:
        return _each(node, walk.of(operand))
    axis = argument(node, "dim") % len(shape)
    length = shape[axis]
    if math.prod(shape) * length > 2 * MOST:
        raise TooDenseError("a cumulative sum is too long")
    below = sparse.csr_array(np.tril(np.ones((length, length), dtype=bool)))
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    pattern = kron(sparse.eye_array(outer), below, sparse.eye_array(inner))
    return _each(node, apply(pattern, walk.of(operand)))


@rule("native_layer_norm.default")
def _layer_norm(walk: IndexSets, node: Node) -> Sets:
    operand, normalized, *weights = args_of(node)[:4]
    shape = shape_of(operand)
    axes = range(len(shape) - len(normalized), len(shape))
    found = mixed(walk.of(operand), shape, axes)
    for weight in weights:
        if walk.of(weight) is not None:
            index = numbers(shape_of(weight)).expand(shape)
            found = union(found, gather(walk.of(weight), index))
    statistics = merged(walk.of(operand), shape, axes)
    return found, statistics, statistics


@rule(
    *("_native_batch_norm_legit_no_training.default", "native_batch_norm.default"),
    *("_native_batch_norm_legit.default", "_native_batch_norm_legit.no_stats"),
)
def _batch_norm(walk: IndexSets, node: Node) -> Sets:
    operand, *others = args_of(node)[:5]
    _refuse_varying(walk, others, "the weights or statistics of a batch norm")
    sets, shape = walk.of(operand), shape_of(operand)
    statistics: Sets = None
    if argument(node, "training", default=False):
        axes = tuple(axis for axis in range(len(shape)) if axis != 1)
        sets, statistics = mixed(sets, shape, axes), merged(sets, shape, axes)
    rest = node.meta["val"][1:]
    return sets, *(statistics if each.numel() == shape[1] else None for each in rest)


@rule("native_group_norm.default")
def _group_norm(walk: IndexSets, node: Node) -> Sets:
    operand, *weights = args_of(node)[:3]
    _refuse_varying(walk, weights, "the weights of a group norm")
    samples, count = args_of(node)[3], args_of(node)[6]
    inside = shape_of(operand).numel() // max(1, samples * count)
    shape = (samples, count, inside)
    statistics = merged(walk.of(operand), shape, (2,))
    return mixed(walk.of(operand), shape, (2,)), statistics, statistics


def _refuse_varying(walk: IndexSets, operands: Sequence[Any], what: str) -> None:
    """Refuse operands that depend on the input.

    Raises:
        UnsupportedError: One does.
    """
    if any(walk.of(operand) is not None for operand in operands):
        raise UnsupportedError(f"{what} depend on the input")


@rule(
    *("linalg_inv_ex.default", "linalg_cholesky_ex.default", "_linalg_det.default"),
    *("_linalg_slogdet.default", "linalg_qr.default", "_linalg_svd.default"),
    *("_linalg_eigh.default", "cholesky.default", "linalg_lu_factor_ex.default"),
)
def _matrix_function(walk: IndexSets, node: Node) -> Sets:
    shape = shape_of(args_of(node)[0])
    batch = math.prod(shape[:-2])
    return _spread(node, _by_batch(walk, args_of(node)[0], batch), batch)


@rule("_linalg_solve_ex.default", "linalg_solve_triangular.default")
def _solve(walk: IndexSets, node: Node) -> Sets:
    matrix, right = args_of(node)[:2]
    shape, others = shape_of(matrix), shape_of(right)
    batch = math.prod(shape[:-2])
    vector = len(others) == len(shape) - 1
    if others[: len(others) - (1 if vector else 2)] != shape[:-2]:
        raise UnsupportedError("the matrices of a solve are broadcast")
    sets = union(_by_batch(walk, matrix, batch), _by_batch(walk, right, batch))
    return _spread(node, sets, batch)


def _by_batch(walk: IndexSets, operand: Any, batch: int) -> Sets:
    """Join what all entries of each matrix depend on."""
    inside = shape_of(operand).numel() // max(1, batch)
    return merged(walk.of(operand), (batch, inside), (1,))


def _spread(node: Node, sets: Sets, batch: int) -> Sets:
    """Let all entries of what belongs to a matrix depend on the same."""
    value = node.meta["val"]
    found: list[Sets] = []
    for each in value if isinstance(value, tuple) else (value,):
        inside = each.numel() // max(1, batch)
        index = torch.arange(batch, device="cpu").repeat_interleave(inside)
        found.append(gather(sets, index) if each.is_floating_point() else None)
    return tuple(found) if isinstance(value, tuple) else found[0]
