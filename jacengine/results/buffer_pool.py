"""A buffer pool: storages of results that are no longer referenced are reused.

A large new result is written to memory pages that the operating system provides one by
one at the first write, and takes back when the result is freed. Where Jacobians are
computed again and again (a fit, a solver, a Markov chain), that takes several times as
long as writing them. So the storages of plans' large results are kept, up to a limit,
and reused once no tensor, view, array, graph or anything else refers to them: as torch
does for other devices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from jacengine._host import total_bytes
from jacengine._locks import lock
from jacengine._torch_private import holders
from jacengine.results.huge_pages import LARGE, allocate

MOST = min(2**29, total_bytes() // 32)
"""Bytes in the pool at most: twice the largest result that is pooled, since the
previous result is often still referenced while the next is computed."""


class BufferPool:
    """Storages of large results, the oldest first; thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        """Begin with no storage.

        Args:
            most: Bytes in the pool at most.
        """
        self._most = most
        self._storages: list[torch.UntypedStorage] = []
        self._lock = lock()
        self._unreferenced = holders([torch.UntypedStorage(1)], 0)

    @property
    def bytes(self) -> int:
        """The size of all storages, referenced or not."""
        return sum(storage.nbytes() for storage in self._storages)

    def allocate(
        self, shape: Sequence[int], *, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return an uninitialised tensor, in a storage of the pool if one is free."""
        count = math.prod(shape) * dtype.itemsize
        if device.type != "cpu" or not LARGE <= count <= self._most // 2:
            return allocate(shape, dtype=dtype, device=device)
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        with self._lock:
            for i in range(len(self._storages)):
                if self._free(i) and self._storages[i].nbytes() == count:
                    storage = self._storages.pop(i)
                    self._storages.append(storage)
                    there = torch.empty(0, dtype=dtype, device="cpu")
                    return there.set_(storage, 0, shape, strides)
            made = allocate(shape, dtype=dtype, device=device)
            if type(made) is Tensor:  # a fake tensor has no memory
                self._storages.append(made.untyped_storage())
            while self.bytes > self._most:
                self._storages.pop(0)
            return made

    def release(self) -> None:
        """Empty the pool."""
        with self._lock:
            self._storages.clear()

    def _free(self, i: int) -> bool:
        """Tell whether nothing else refers to a storage."""
        # Shared memory may be in use in other processes, which no count tells of.
        return (
            holders(self._storages, i) == self._unreferenced
            and not self._storages[i].is_shared()
        )


RESULT_POOL = BufferPool()
"""The pool of the results of this process's plans."""


def release_memory() -> None:
    """Free the pooled memory of earlier results.

    Plans compute large results (from 4 MiB on) into the memory of earlier ones that
    nothing refers to any more; the pool has at most 512 MiB, or a 32nd of the machine's
    memory.
    """
    RESULT_POOL.release()
