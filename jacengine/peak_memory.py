"""Peak memory of a run: the bytes that torch allocates beyond those at the start."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import (
    FakeTensor,
    TorchDispatchMode,
    profiler_is_active,
    pytree,
    record_allocations,
    recorded_allocations,
    storage_key,
)


class Peak:
    """The most bytes that were allocated at once beyond those at the start."""

    bytes: int = 0


@contextmanager
def peak_memory(
    device: torch.device,
    existing: Iterable[Tensor] = (),
    *,
    fake: bool = False,
    in_kernels: bool = False,
) -> Generator[Peak]:
    """Measure the peak of torch's own allocations.

    On CUDA the allocator keeps count. On CPU it does not, so every storage that an
    operator returns is counted while it lives. Counting costs time: never measure both
    in one run.

    Args:
        device: Whose allocations.
        existing: Tensors that exist already and would else be counted when they are
            first met (fake copies of a module's parameters).
        fake: Count what fake tensors would take, and nothing else; they have no memory.
        in_kernels: Count what kernels take and free themselves too (the workspaces of
            convolutions), which torch's profiler records. It need not grow with the
            work as tensors do. Not while a profiler of the user's is active.

    Yields:
        The peak, filled in at the end.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
    elif fake or not in_kernels or not _RECORDINGS.possible():
        counter = _StorageCounter(fake=fake)
        for tensor in existing:
            counter.meet(tensor, (tensor,))
        with counter:
            yield peak
        peak.bytes = counter.peak
    else:
        total = _RunningTotal()
        _RECORDINGS.begin(total)
        try:
            yield peak
        finally:
            _RECORDINGS.end(total)
        peak.bytes = total.peak


class _RunningTotal:
    """The sum of some changes, and the largest that it ever was."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def add(self, changes: Iterable[int]) -> None:
        for change in changes:
            self.now += change
            self.peak = max(self.peak, self.now)


class _Recordings(threading.local):
    """What is measured on this thread, one inside another, by one profiler.

    The profiler tells what it recorded when it is stopped: at the beginning and at the
    end of each measurement, when all that go on are told.
    """

    def __init__(self) -> None:
        self._running: list[_RunningTotal] = []

    def possible(self) -> bool:
        """Tell whether no profiler of the user's is active."""
        return bool(self._running) or not profiler_is_active()

    def begin(self, total: _RunningTotal) -> None:
        self._stop()
        self._running.append(total)
        record_allocations()

    def end(self, total: _RunningTotal) -> None:
        self._stop()
        self._running.remove(total)
        if self._running:
            record_allocations()

    def _stop(self) -> None:
        if self._running:
            changes = recorded_allocations()
            for total in self._running:
                total.add(changes)


_RECORDINGS = _Recordings()


_ADOPTING = {
    torch.ops.aten.set_.source_Storage,
    torch.ops.aten.set_.source_Storage_storage_offset,
}
"""Operators by which a tensor takes memory over: of the buffer pool, for instance."""


class _StorageCounter(TorchDispatchMode):
    """Counts the bytes of the storages that operators make, while they live."""

    def __init__(self, *, fake: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = fake
        self.live = 0
        self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Do without a wrapper that takes a third of the time: nothing is compiled."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._efficientzerotensor.default:
            # Scaled under a mode (the tangent of a constant with `alpha=`), a tensor of
            # zeros without memory is a segmentation fault in torch 2.13.
            return torch.zeros((), **(kwargs or {})).expand(*args)
        result = func(*args, **(kwargs or {}))
        # Most operators return one tensor; to walk through a pytree takes long.
        plain = type(result) is Tensor
        given = () if func in _ADOPTING else (*args, *(kwargs or {}).values())
        for leaf in (result,) if plain else pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.meet(leaf, given)
        return result

    def meet(self, tensor: Tensor, given: Iterable[Any] = ()) -> None:
        """Count a storage once, unless an argument of its operator has it.

        Such a one existed before.
        """
        if tensor.layout != torch.strided:
            return
        if isinstance(tensor, FakeTensor) != self._fake:
            return
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key in self._seen:
            return
        size = 0 if _is_among(key, given) else storage.nbytes()

        def forget(_: object) -> None:
            self.live -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def _is_among(key: int, given: Iterable[Any]) -> bool:
    """Tell whether one of the arguments of an operator has this storage."""
    for value in given:
        if isinstance(value, list | tuple):
            if _is_among(key, value):
                return True
        elif (
            isinstance(value, Tensor)
            and value.layout == torch.strided
            and storage_key(value.untyped_storage()) == key
        ):
            return True
    return False
