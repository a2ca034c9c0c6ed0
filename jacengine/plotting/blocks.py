"""A Jacobian, nested as `jacengine.auto` returns it, as one matrix of named blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import ArgumentError, InputTypeError, kind_of


@dataclass(frozen=True)
class Block:
    """The rows of one output, or the columns of one input or parameter.

    Attributes:
        name: Its path; empty if it is the only one.
        shape: The shape of the output (of one sample), input or parameter.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of rows (of one sample) or columns."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class BlockMatrix:
    """A Jacobian as a block matrix.

    Attributes:
        rows: The outputs, each with its samples one after another.
        columns: The inputs or parameters.
        matrix: The entries, in a dtype that can be pooled.
        samples: The number of samples; `None` without a sample axis.
    """

    rows: Sequence[Block]
    columns: Sequence[Block]
    matrix: Tensor
    samples: int | None


def block_matrix(J: Any, batch_dim: int | None, out_ndim: int | None) -> BlockMatrix:
    """Arrange the tensors of a Jacobian, as `plot` takes it, as a block matrix.

    Raises:
        ArgumentError: The tensors are empty, or their shapes are inconsistent.
    """
    grid = _grid(J)
    tensors = [tensor for row in grid.values() for tensor in row.values()]
    for tensor in tensors:
        _check(tensor)
    if not tensors:
        raise ArgumentError("`jacengine.plot(J)`: there is no tensor in J.")
    start = 0 if batch_dim is None else 1
    ndim = min(tensor.ndim for tensor in tensors) - start
    out = max(0, min(ndim - 1, 1)) if out_ndim is None else out_ndim
    if not 0 <= out <= ndim:
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ArgumentError(
            f"`jacengine.plot(batch_dim={batch_dim}, out_ndim={out_ndim})`: the "
            f"tensors have shapes {shapes}; expected a sample axis with batch_dim=0, "
            "then out_ndim axes of the output, then those of the input."
        )
    split = start + out
    if len(grid) == 1 and len({tensor.shape[:split] for tensor in tensors}) > 1:
        [row] = grid.values()  # several outputs of one input
        grid = {name: {"": tensor} for name, tensor in row.items()}
    return _assemble(grid, start, split)


def _grid(J: Any) -> dict[str, dict[str, Tensor]]:
    """Name the tensors: outputs outside, inputs inside."""
    children = _children(J)
    if children and all(_children(child) is not None for child in children.values()):
        rows = {name: _leaves(child) for name, child in children.items()}
        if len({tuple(row) for row in rows.values()}) == 1:
            return rows
    return {"": _leaves(J)}


def _children(J: Any) -> dict[str, Any] | None:
    """Name the items of a container; `None` for a leaf."""
    if isinstance(J, Mapping):
        return {str(name): child for name, child in J.items()}
    if isinstance(J, Sequence) and not isinstance(J, str):
        return {f"[{index}]": child for index, child in enumerate(J)}
    return None


def _leaves(J: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Name the leaves by their paths."""
    children = _children(J)
    if children is None:
        return {".".join(path): J}
    return {
        leaf_path: leaf
        for name, child in children.items()
        for leaf_path, leaf in _leaves(child, (*path, name)).items()
    }


def _check(tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise InputTypeError(
            f"`jacengine.plot(J)` got {kind_of(tensor)} in J; expected "
            "tensors, as `jacengine.auto` returns them."
        )
    if not tensor.is_floating_point():
        raise InputTypeError(
            f"`jacengine.plot(J)` draws real floating-point Jacobians; got "
            f"{str(tensor.dtype).removeprefix('torch.')}. Plot J.real or J.abs()."
        )
    if tensor.is_meta or not tensor.numel():
        raise ArgumentError(
            f"`jacengine.plot(J)`: a tensor of shape {tuple(tensor.shape)} on "
            f"{tensor.device} has no entries to draw."
        )


def _assemble(
    grid: Mapping[str, Mapping[str, Tensor]], start: int, split: int
) -> BlockMatrix:
    """Concatenate flattened tensors; outputs have the axes from `start` to `split`."""
    table = [list(row.values()) for row in grid.values()]
    tensors = [tensor for row in table for tensor in row]
    shapes = [
        {tensor.shape[:start] for tensor in tensors},
        *({tensor.shape[:split] for tensor in row} for row in table),
        *({t.shape[split:] for t in column} for column in zip(*table, strict=True)),
    ]
    if any(len(different) > 1 for different in shapes):
        raise ArgumentError(
            "`jacengine.plot(J)`: tensors of shapes "
            f"{[tuple(t.shape) for t in tensors]} do not form a block matrix with "
            f"{split - start} axes of outputs after {start} sample axes. Pass "
            "`out_ndim` or `batch_dim` if those are others, or plot a part of J."
        )
    names = next(iter(grid.values()))
    columns = [Block(n, tuple(t.shape[split:])) for n, t in names.items()]
    outputs = zip(grid, table, strict=True)
    rows = [Block(name, tuple(row[0].shape[start:split])) for name, row in outputs]
    widest = max((t.dtype for t in tensors), key=lambda dtype: torch.finfo(dtype).bits)
    dtype = torch.promote_types(torch.float32, widest)
    flat = [
        [
            tensor.detach().to_dense().to("cpu", dtype).reshape(-1, column.size)
            for tensor, column in zip(row, columns, strict=True)
        ]
        for row in table
    ]
    matrix = torch.cat([torch.cat(row, dim=1) for row in flat])
    samples = table[0][0].shape[0] if start else None
    return BlockMatrix(rows, columns, matrix, samples)
