"""Windows: convolutions and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from torch.fx import Node

from jacengine.errors import UnsupportedError
from jacengine.program.index_set_rules.table import (
    args_of,
    argument,
    kron,
    listed,
    merged,
    rule,
)
from jacengine.program.index_sets import IndexSets, Sets, apply, gather, numbers
from jacengine.program.operators import shape_of


@dataclass(frozen=True)
class _Window:
    """A window along one axis; each output reads `kernel` inputs."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def pattern(self, outputs: int, inputs: int) -> Any:
        """Return which inputs each output reads."""
        starts = np.arange(outputs)[:, None] * self.stride - self.padding
        index = starts + np.arange(self.kernel)[None, :] * self.dilation
        inside = (index >= 0) & (index < inputs)
        rows = np.broadcast_to(np.arange(outputs)[:, None], index.shape)[inside]
        ones = np.ones(len(rows), dtype=bool)
        return sparse.csr_array((ones, (rows, index[inside])), shape=(outputs, inputs))


def _windows(count: int, *given: Any) -> list[_Window]:
    """Return one window an axis; one number serves all axes."""
    each = [listed(sizes) for sizes in given]
    spread = [sizes * count if len(sizes) == 1 else sizes for sizes in each]
    return [_Window(*sizes) for sizes in zip(*spread, strict=True)]


@rule("convolution.default")
def _convolution(walk: IndexSets, node: Node) -> Sets:
    operand, weight, bias, *sizes, transposed, _, count = args_of(node)
    if walk.of(weight) is not None or walk.of(bias) is not None:
        raise UnsupportedError("the weights of a convolution depend on the input")
    shape, out, kernel = shape_of(operand), shape_of(node), shape_of(weight)[2:]
    windows = _windows(len(kernel), list(kernel), *sizes)
    axes = list(zip(windows, out[2:], shape[2:], strict=True))
    spatial = [
        window.pattern(there, here).T if transposed else window.pattern(here, there)
        for window, here, there in axes
    ]
    groups = shape[0] * count
    inside = math.prod(shape[2:])
    channels = (groups, shape[1] // count, inside)
    found = apply(
        kron(sparse.eye_array(groups), *spatial),
        merged(walk.of(operand), channels, (1,)),
    )
    index = numbers((groups, 1, math.prod(out[2:])))
    return gather(found, index.expand(-1, out[1] // count, -1))


@rule("max_pool2d_with_indices.default", "max_pool3d_with_indices.default")
def _max_pool(walk: IndexSets, node: Node) -> Sets:
    dims = len(listed(args_of(node)[1]))
    return _pooled(walk, node, node.meta["val"][0].shape, dims), None


@rule("avg_pool1d.default", "avg_pool2d.default", "avg_pool3d.default")
def _avg_pool(walk: IndexSets, node: Node) -> Sets:
    return _pooled(walk, node, shape_of(node), len(listed(args_of(node)[1])))


def _pooled(walk: IndexSets, node: Node, out: Sequence[int], dims: int) -> Sets:
    """Let each output of the last axes depend on its window."""
    operand, kernel = args_of(node)[:2]
    shape = shape_of(operand)
    windows = _windows(
        dims,
        kernel,
        argument(node, "stride") or kernel,
        argument(node, "padding", 0),
        argument(node, "dilation", 1),
    )
    axes = zip(windows, out[-dims:], shape[-dims:], strict=True)
    spatial = [window.pattern(here, there) for window, here, there in axes]
    outer = sparse.eye_array(math.prod(shape[:-dims]))
    return apply(kron(outer, *spatial), walk.of(operand))


@rule("_adaptive_avg_pool2d.default")
def _adaptive_avg_pool(walk: IndexSets, node: Node) -> Sets:
    operand = args_of(node)[0]
    shape, out = shape_of(operand), shape_of(node)
    spatial: list[Any] = []
    for size, count in zip(shape[-2:], out[-2:], strict=True):
        cells = np.zeros((count, size), dtype=bool)
        for k in range(count):
            cells[k, k * size // count : -(-(k + 1) * size // count)] = True
        spatial.append(sparse.csr_array(cells))
    outer = sparse.eye_array(math.prod(shape[:-2]))
    return apply(kron(outer, *spatial), walk.of(operand))
