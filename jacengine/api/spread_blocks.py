"""The pieces of `blocks`, computed by the workers of an executor.

A builder and a part of an axis travel there, and bytes travel back; no model and no
plan does. Each worker builds once, and keeps its plans in its own cache.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from jacengine._files import replace_bytes
from jacengine._load_object import call_of, load_object
from jacengine.api.blockwise import PieceOptions
from jacengine.distributed.shard_file import bytes_of, decode, encode
from jacengine.distributed.shard_folder import ShardFolder, missing_parts, shard_path
from jacengine.distributed.spread import Executor, in_order
from jacengine.errors import ArgumentError, kind_of
from jacengine.plans.blockwise import Axis, BlockwiseJacobian, Piece, Pieces
from jacengine.plans.request import PlanRequest

PIECES = 16
"""How many pieces there are at least, for as many workers, if the user does not say."""
UNSUPPORTED: tuple[tuple[str, Any, str], ...] = (
    ("create_graph", True, "the graph would stay in the worker"),
    ("randomness", "same", "each worker would draw numbers of its own"),
    ("randomness", "different", "each worker would draw numbers of its own"),
    ("layout", "coo", 'pass layout="values"'),
    ("layout", "csr", 'pass layout="values"'),
)
"""Values of options that need one process, and why."""


@dataclass(frozen=True)
class ShardTask:
    """What travels to a worker, beside the part.

    Attributes:
        builder: What makes the function and its arguments, as `module:function`.
        options: The options of the call.
        by: The axis that is cut.
        values: The digest of what the builder returned in the calling process.
        folder: Where shards are written; `None`: they are returned.
    """

    builder: str
    options: PieceOptions
    by: Axis
    values: str
    folder: Path | None


def spread_blocks(
    executor: Executor | None,
    builder: str,
    options: PieceOptions,
    *,
    by: Axis | None,
    at_least: int | None,
    folder: Path | None,
) -> Pieces:
    """Return the pieces of what a builder makes, computed by an executor.

    Raises:
        ArgumentError: An option needs one process, or the folder is of another call.
    """
    if executor is None:
        raise ArgumentError(
            f"blocks({builder!r}) needs an executor=. For this process alone, pass "
            "concurrent.futures.ThreadPoolExecutor(1)."
        )
    for name, value, reason in UNSUPPORTED:
        if getattr(options.result, name) == value:
            raise ArgumentError(
                f"{name}={value!r} cannot be used with executor=: {reason}."
            )
    jacobian, values = _build(builder, options)
    by = by or jacobian.default_axis
    size, problem = jacobian.size(by), jacobian.problem
    shards, present = None, list[slice]()
    if folder is not None:
        call = {"builder": builder, "by": by, "size": size, "values": values}
        shards = ShardFolder(folder.resolve(), call | asdict(options.result))
        present = shards.intact_parts()
    at_least = at_least or PIECES
    parts = present + [
        part
        for gap in missing_parts(size, present)
        for part in jacobian.cuts(by, at_least, gap)
    ]
    parts.sort(key=lambda part: part.start)
    task = ShardTask(
        builder, options, by, values, None if shards is None else shards.path
    )
    # Without a folder, pieces that nobody has taken yet wait in this process.
    largest = max((jacobian.bytes_of(by, part) for part in parts), default=1)
    window = max(1, jacobian.budget // max(1, largest)) if shards is None else size

    def submit(part: slice) -> Any:
        if part not in present:
            return executor.submit(compute_shard, task, part)
        done = Future[None]()
        done.set_result(None)
        return done

    def compute(pieces: Pieces) -> Iterator[Piece]:
        title = f"the {problem.title} of {builder!r} by {by}"
        computed = list[slice]()
        for part, found, more in in_order(submit, parts, window=window, title=title):
            computed.append(part)
            pieces.count = len(computed) + more
            if shards is None:
                yield decode(found).piece
            else:
                yield shards.read(part).piece
        if shards is not None:
            shards.finish(computed)

    return Pieces(problem.title, by, len(parts), compute)


def compute_shard(task: ShardTask, part: slice) -> bytearray | None:
    """Compute a piece in a worker.

    Returns:
        The piece in bytes; `None` if it is in the folder.
    """
    with _LOCK:
        buffers = encode(_built(task).piece(task.by, part), part)
    if task.folder is None:
        return bytearray().join(buffers)
    replace_bytes(shard_path(task.folder, part), lambda file: file.writelines(buffers))
    return None


_LOCK = threading.Lock()
"""Held while one thread of a worker builds, chooses and computes."""
_last: tuple[ShardTask, BlockwiseJacobian] | None = None
"""What this worker has built last, and for what."""


def _built(task: ShardTask) -> BlockwiseJacobian:
    """Build, unless this worker has done so for the last piece.

    Raises:
        ArgumentError: The builder returned something else in the calling process.
    """
    global _last  # noqa: PLW0603 - it outlives the task
    if _last is None or _last[0] != task:
        _last = None  # which may be large
        jacobian, values = _build(task.builder, task.options)
        if values != task.values:
            raise ArgumentError(
                f"{task.builder!r} returned other values in a worker than in the "
                "calling process. Seed what it draws, with torch.manual_seed, or "
                "have it load the values from a file."
            )
        _last = task, jacobian
    return _last[1]


def _build(builder: str, options: PieceOptions) -> tuple[BlockwiseJacobian, str]:
    """Build and analyze a call; also return the digest of its values.

    Raises:
        ArgumentError: The builder returns something else.
    """
    made = load_object(builder)()
    call = call_of(made)
    if call is None:
        raise ArgumentError(
            f"{builder!r} returned {kind_of(made)}; expected (fn, x) or (fn, (x, y))."
        )
    jacobian, request = options.analyze(*call)
    return jacobian, _digest(request)


def _digest(request: PlanRequest) -> str:
    """Return a digest of the tensors that a call can be seen to depend on."""
    found, references = hashlib.sha256(), request.callee.references
    inside = [
        tensor
        for module in references.modules
        for tensor in (*module.parameters(), *module.buffers())
    ]
    for value in (*request.leaves, *references.tensors, *inside):
        if isinstance(value, Tensor):
            found.update(f"{value.dtype} {tuple(value.shape)}".encode())
            found.update(bytes_of(value.to_dense()))
        elif isinstance(value, bool | int | float | complex | str | None):
            found.update(repr(value).encode())
    return found.hexdigest()
