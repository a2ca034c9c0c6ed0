"""A Jacobian, nested as `jacengine.auto` nests it, as one matrix with named blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine.errors import ArgumentError, InputTypeError


@dataclass(frozen=True)
class Block:
    """Rows or columns that belong together.

    Attributes:
        name: What they are; empty if they are all there is.
        size: How many.
        shape: The shape of the output (of one sample), input or parameter.
    """

    name: str
    size: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Blocks:
    """A Jacobian cut into blocks.

    Attributes:
        rows: The outputs, each with its samples one after another.
        columns: The inputs or parameters.
        tensors: The matrix of every output (outside) and input.
        samples: How many samples there are; `None` if it is one point.
    """

    rows: tuple[Block, ...]
    columns: tuple[Block, ...]
    tensors: tuple[tuple[Tensor, ...], ...]
    samples: int | None

    def matrix(self) -> Tensor:
        """Put the blocks together, in a dtype that can be pooled."""
        return torch.cat([torch.cat(row, dim=1) for row in self.tensors])


def cut(J: Any, batch_dim: int | None, out_ndim: int | None) -> Blocks:
    """Cut a Jacobian into blocks.

    Args:
        J: A tensor, or tensors in dicts, tuples or lists: of inputs, of outputs, or of
            inputs in those of outputs.
        batch_dim: 0 if the first axis of every tensor counts samples.
        out_ndim: How many axes the output (of one sample) has.

    Raises:
        ArgumentError: The tensors are empty, or do not fit each other.
    """
    nested = _grid(J)
    pieces = [tensor for row in nested.values() for tensor in row.values()]
    for tensor in pieces:
        _check(tensor)
    if not pieces:
        raise ArgumentError("`jacengine.plot(J)`: there is no tensor in J.")
    skipped = 0 if batch_dim is None else 1
    axes = min(tensor.ndim for tensor in pieces) - skipped
    ndim = max(0, min(axes - 1, 1)) if out_ndim is None else out_ndim
    if not 0 <= ndim <= axes:
        shapes = [tuple(tensor.shape) for tensor in pieces]
        raise ArgumentError(
            f"`jacengine.plot(batch_dim={batch_dim}, out_ndim={out_ndim})`: the "
            f"tensors have shapes {shapes}; expected an axis of samples with "
            "batch_dim=0, then out_ndim axes of the output, then those of the input."
        )
    split = skipped + ndim
    if len(nested) == 1 and not _one_output(pieces, split):
        [columns] = nested.values()
        nested = {name: {"": tensor} for name, tensor in columns.items()}
    return _blocks(nested, skipped, split)


def _grid(J: Any) -> dict[str, dict[str, Tensor]]:
    """Name the tensors: outputs outside, inputs inside."""
    if not _holds(J):
        return {"": {"": J}}
    children = _children(J)
    if children and all(_holds(child) for _, child in children):
        rows = {name: dict(_leaves(child)) for name, child in children}
        if len({tuple(row) for row in rows.values()}) == 1:
            return rows
    return {"": dict(_leaves(J))}


def _holds(J: Any) -> bool:
    """Whether this is a container."""
    return isinstance(J, Mapping | Sequence) and not isinstance(J, str)


def _children(J: Any) -> list[tuple[str, Any]]:
    if isinstance(J, Mapping):
        return [(str(name), child) for name, child in J.items()]
    return [(f"[{place}]", child) for place, child in enumerate(J)]


def _leaves(J: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not _holds(J):
        return [(prefix, J)]
    named = ((f"{prefix}.{n}" if prefix else n, child) for n, child in _children(J))
    return [leaf for name, child in named for leaf in _leaves(child, name)]


def _check(tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        raise InputTypeError(
            f"`jacengine.plot(J)` got a {type(tensor).__name__} in J; expected "
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


def _one_output(pieces: Sequence[Tensor], split: int) -> bool:
    """Whether tensors side by side are inputs of one output, and not outputs."""
    return len({tensor.shape[:split] for tensor in pieces}) == 1


def _blocks(
    nested: Mapping[str, Mapping[str, Tensor]], skipped: int, split: int
) -> Blocks:
    """Flatten every tensor to a matrix.

    Raises:
        ArgumentError: Outputs or inputs differ between tensors that share them.
    """
    table = [list(row.values()) for row in nested.values()]
    names = list(next(iter(nested.values())))
    heads = [{tensor.shape[:split] for tensor in row} for row in table]
    tails = [
        {tensor.shape[split:] for tensor in column}
        for column in zip(*table, strict=True)
    ]
    samples = {head[:skipped] for row in heads for head in row}
    if any(len(shapes) != 1 for shapes in (samples, *heads, *tails)):
        raise ArgumentError(
            "`jacengine.plot(J)`: tensors of shapes "
            f"{[tuple(tensor.shape) for row in table for tensor in row]} are no blocks "
            f"of one matrix, with {split - skipped} axes of outputs"
            f"{' after one of samples' if skipped else ''}. Pass `out_ndim` or "
            "`batch_dim` if those are others, or plot a part of J."
        )
    rows = [
        _block(name, row[0].shape[skipped:split])
        for name, row in zip(nested, table, strict=True)
    ]
    columns = [
        _block(name, tensor.shape[split:])
        for name, tensor in zip(names, table[0], strict=True)
    ]
    dtype = torch.promote_types(
        torch.float32, max((t.dtype for row in table for t in row), key=_precision)
    )
    flat = tuple(
        tuple(
            tensor.detach().to_dense().to("cpu", dtype).reshape(-1, column.size)
            for tensor, column in zip(row, columns, strict=True)
        )
        for row in table
    )
    batch = table[0][0].shape[0] if skipped else None
    return Blocks(tuple(rows), tuple(columns), flat, batch)


def _block(name: str, shape: torch.Size) -> Block:
    return Block(name, shape.numel(), tuple(shape))


def _precision(dtype: torch.dtype) -> int:
    return torch.finfo(dtype).bits
