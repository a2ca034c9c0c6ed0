"""Memory of results that nobody holds any more, for the results to come.

A large result lies in memory that the kernel of the system has just handed out, page by
page at the first write, and gives it back when it is dropped. Where Jacobians are
computed again and again (a fit, a solver, a Markov chain), that takes several times as
long as writing them. So the memory of plans' results is kept, a little of it, and used
again once neither a tensor, nor a view, an array, a graph or anything else holds it: as
torch does for other devices.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import psutil
import torch
from torch import Tensor

from jacengine._torch_private import holders
from jacengine.results.huge_pages import LARGE, allocate

MOST = min(2**29, psutil.virtual_memory().total // 32)
"""Bytes that are kept at most. Twice the largest result that is worth keeping: while
one is computed, the one before is often still held."""


class BufferPool:
    """Storages of large results, the oldest first; safe for threads."""

    def __init__(self, most: int = MOST) -> None:
        """Begin with none.

        Args:
            most: Bytes to keep at most.
        """
        self._most = most
        self._storages: list[torch.UntypedStorage] = []
        self._lock = threading.Lock()
        self._alone = holders([torch.UntypedStorage(1)], 0)

    @property
    def bytes(self) -> int:
        """What is kept, whether somebody holds it or not."""
        return sum(storage.nbytes() for storage in self._storages)

    def allocate(
        self, shape: Sequence[int], *, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return an uninitialised tensor, in memory that is there if possible."""
        count = math.prod(shape) * dtype.itemsize
        if device.type != "cpu" or not LARGE <= count <= self._most // 2:
            return allocate(shape, dtype=dtype, device=device)
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        with self._lock:
            for i in range(len(self._storages)):
                if self._free(i) and self._storages[i].nbytes() == count:
                    storage = self._storages.pop(i)
                    self._storages.append(storage)
                    there = torch.empty(0, dtype=dtype)
                    return there.set_(storage, 0, shape, strides)
            made = allocate(shape, dtype=dtype, device=device)
            if type(made) is Tensor:  # and no stand-in without memory
                self._storages.append(made.untyped_storage())
            while self.bytes > self._most:
                self._storages.pop(0)
            return made

    def release(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._storages.clear()

    def _free(self, i: int) -> bool:
        """Tell whether nobody else can read or write a storage."""
        # Shared memory may be in use in other processes, which no count tells of.
        return (
            holders(self._storages, i) == self._alone
            and not self._storages[i].is_shared()
        )


RESULTS = BufferPool()
"""The memory of this process's results."""


def release_memory() -> None:
    """Give the memory back that is kept of results that were dropped.

    Plans compute large results (from 4 MiB on) into memory of earlier ones that nothing
    refers to any more: at most 512 MiB or a 32nd of the machine's memory stay for that.
    """
    RESULTS.release()
