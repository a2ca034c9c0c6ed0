"""Which loops Inductor makes parallel, in the threads that compile for us.

Its own choice counts iterations, and is made in code that serves all of the process.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

# pyright: reportPrivateUsage=false

LEAST_WORK = 2**13
"""Operations, on numbers or vectors, of each thread from which a loop is parallel.

A parallel region takes microseconds, and milliseconds where other work has a core.
"""


class _Compiling(threading.local):
    """Whether this thread compiles what was lowered here."""

    active: bool = False


_COMPILING = _Compiling()


@contextmanager
def parallel_where_it_pays() -> Generator[None]:
    """Have Inductor start parallel regions for large loops, and for outer ones."""
    _correct_parallel_depth()
    _weigh_loops()
    _COMPILING.active = True
    try:
        yield
    finally:
        _COMPILING.active = False


@functools.cache
def _correct_parallel_depth() -> None:
    """Correct which loops Inductor makes parallel, in threads that compile for us.

    It counts the steps of loops of fewer entries than a vector has as none, takes the
    loops around a sum for empty, and makes that of its terms parallel.
    """
    from torch._inductor.codegen import cpp  # noqa: PLC0415

    chosen = getattr(cpp.LoopNest, "max_parallel_depth", None)
    if chosen is None:
        return

    def corrected(nest: Any) -> Any:
        depth = chosen(nest)
        if not _COMPILING.active or not getattr(depth, "start_depth", 0):
            return depth
        outer = nest.loops[: depth.start_depth]
        if not any((loop.size - loop.steps).is_negative for loop in outer):
            return depth
        return cpp.ParallelDepth(parallel_depth=depth.start_depth, start_depth=0)

    cpp.LoopNest.max_parallel_depth = corrected  # type: ignore[method-assign, assignment]


@functools.cache
def _weigh_loops() -> None:
    """Have Inductor weigh loops by their work, in threads that compile for us.

    It counts iterations alone. Those of a loop that computes vectors are some lines for
    16 numbers, and those of another a hundred lines for one.
    """
    from torch._inductor import config  # noqa: PLC0415
    from torch._inductor.codegen import cpp  # noqa: PLC0415

    chosen: Any = cpp.CppKernel.decide_parallel_depth
    default = 512  # iterations of a thread; another number is the user's

    def weighed(kernel: Any, *args: Any) -> Any:
        if not _COMPILING.active or config.cpp.min_chunk_size != default:
            return chosen(kernel, *args)
        (inner, *_) = getattr(kernel, "kernels", None) or [kernel]
        lines = sum(len(part._lines) for part in (inner.loads, inner.compute))
        lanes = inner.tiling_factor if isinstance(inner, cpp.CppVecKernel) else 1
        least = LEAST_WORK * lanes // max(1, lines)
        with config.patch({"cpp.min_chunk_size": min(max(least, default), 2**14)}):
            return chosen(kernel, *args)

    cpp.CppKernel.decide_parallel_depth = weighed  # type: ignore[method-assign]
