"""Peak memory of a run: the bytes that torch allocates beyond those at the start."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import (
    FakeTensor,
    TorchDispatchMode,
    pytree,
    storage_key,
)


class Peak:
    """The most bytes that were allocated at once beyond those at the start."""

    bytes: int = 0


@contextmanager
def peak_memory(
    device: torch.device, existing: Iterable[Tensor] = (), *, fake: bool = False
) -> Generator[Peak]:
    """Measure the peak of torch's own allocations.

    On CUDA the allocator keeps count. On CPU it does not, so every storage that an
    operator returns is counted while it lives; what an operator takes and frees inside
    its kernel is not seen. Counting costs time: never measure both in one run.

    Args:
        device: Whose allocations.
        existing: Tensors that exist already and would else be counted when they are
            first met (fake copies of a module's parameters).
        fake: Count what fake tensors would take, and nothing else; they have no memory.

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
    else:
        counter = _StorageCounter(fake=fake)
        for tensor in existing:
            counter.meet(tensor, made=False)
        with counter:
            yield peak
        peak.bytes = counter.peak


class _StorageCounter(TorchDispatchMode):
    """Counts the bytes of the storages that operators make, while they live."""

    def __init__(self, *, fake: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = fake
        self.live = 0
        self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten._efficientzerotensor.default:
            # Scaled under a mode (the tangent of a constant with `alpha=`), a tensor of
            # zeros without memory is a segmentation fault in torch 2.13.
            return torch.zeros((), **(kwargs or {})).expand(*args)
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.meet(leaf, made=False)
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.meet(leaf, made=True)
        return result

    def meet(self, tensor: Tensor, *, made: bool) -> None:
        """Count a storage once; one first met as an argument existed before."""
        if tensor.layout != torch.strided:
            return
        if isinstance(tensor, FakeTensor) != self._fake:
            return
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        if key in self._seen:
            return
        size = storage.nbytes() if made else 0

        def forget(_: object) -> None:
            self.live -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)
