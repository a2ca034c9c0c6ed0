"""A piece of a Jacobian as bytes: in a file, or on the way from a worker.

The format is that of safetensors (https://github.com/huggingface/safetensors): the
length of a header, the header in JSON, then the tensors one after the other. The
metadata say which piece it is, how its tensors nest, and the digest of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jacengine import pytrees
from jacengine._torch_private import pytree
from jacengine.errors import ArgumentError
from jacengine.plans.blockwise import Piece

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "C64": torch.complex64,
    "C128": torch.complex128,
}
"""The dtypes of Jacobians, by their names in the format; it lacks the last one."""
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 64
"""Bytes; the tensors begin at a multiple of this."""


class Shard(NamedTuple):
    """A piece that was read.

    Attributes:
        part: Which part of the axis that is cut.
        piece: The piece; its tensors are views of what was read.
        header: The names, dtypes, shapes and offsets of the tensors, and the metadata.
        intact: Whether the tensors have their digest.
    """

    part: slice
    piece: Piece
    header: dict[str, Any]
    intact: bool


def encode(piece: Piece, part: slice) -> list[Any]:
    """Return the bytes of a piece, in buffers to be written one after the other.

    Raises:
        ArgumentError: It nests in classes that cannot be written.
    """
    leaves, structure = pytrees.flatten(piece.jacobian)
    try:
        nest = pytree.treespec_dumps(structure.spec)
    except NotImplementedError:
        nest = ""
    if not nest or any(structure.records):
        raise ArgumentError(
            "executor= needs results that nest in tuples, lists and dicts, but the "
            f"function's are {type(piece.jacobian).__name__}. Pass layout='flat', or "
            "a function that returns one tensor."
        )
    header: dict[str, Any] = {}
    buffers, position, digest = list[Any](), 0, hashlib.sha256()
    for number, leaf in enumerate(leaves):
        if leaf is None:  # by an argument that is not differentiated
            continue
        buffers.append(bytes_of(leaf))
        digest.update(buffers[-1])
        end = position + buffers[-1].nbytes
        header[str(number)] = {
            "dtype": _NAMES[leaf.dtype],
            "shape": list(leaf.shape),
            "data_offsets": [position, end],
        }
        position = end
    header["__metadata__"] = {
        "part": json.dumps(_bounds(part)),
        "samples": json.dumps(_bounds(piece.samples)),
        "rows": json.dumps(_bounds(piece.rows)),
        "parameters": json.dumps(piece.parameters),
        "nest": nest,
        "sha256": digest.hexdigest(),
    }
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return [len(text).to_bytes(8, "little"), text, *buffers]


def decode(data: Any, *, verify: bool = False) -> Shard:
    """Read a piece from an array of bytes, whose memory it shares.

    Args:
        data: The array, or anything else that has a buffer.
        verify: Whether to compare the digest, which reads all of it.
    """
    array = np.frombuffer(data, np.uint8)
    start = 8 + int.from_bytes(array[:8].tobytes(), "little")
    header = json.loads(array[8:start].tobytes())
    about, body = header["__metadata__"], array[start:]
    spec = pytree.treespec_loads(about["nest"])
    leaves = [
        _tensor(body, header[str(number)]) if str(number) in header else None
        for number in range(spec.num_leaves)
    ]
    piece = Piece(
        slice(*json.loads(about["samples"])),
        slice(*json.loads(about["rows"])),
        tuple(json.loads(about["parameters"])),
        pytree.tree_unflatten(leaves, spec),
    )
    intact = not verify or hashlib.sha256(body.data).hexdigest() == about["sha256"]
    return Shard(slice(*json.loads(about["part"])), piece, header, intact)


def read_shard(path: Path, *, verify: bool = False) -> Shard:
    """Read a piece from a file, which is mapped into memory, not copied."""
    return decode(np.memmap(path, np.uint8, "c"), verify=verify)


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor, without a copy where it is contiguous."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data


def _tensor(body: np.ndarray[Any, Any], entry: dict[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    taken = torch.from_numpy(body)[start:end]
    if start % dtype.itemsize:
        taken = taken.clone()
    return taken.view(dtype).view(entry["shape"])


def _bounds(part: slice) -> list[int]:
    return [part.start, part.stop]
