"""Measure runs: seconds, one by one or in interleaved rounds, and peak bytes."""

from __future__ import annotations

import functools
import gc
import math
import random
import time
import weakref
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from jacengine._torch_private import storage_key

_Key = TypeVar("_Key", bound=Hashable)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time one run, to the end of what it started on the device.

    Garbage collection is held back meanwhile. The result stays alive until the clock
    has stopped, so that freeing it is not counted.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        if device.type == "cuda":
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(device)
            begin.record()
            kept = run()
            end.record()
            end.synchronize()
            elapsed = float(begin.elapsed_time(end)) / 1e3
        else:
            start = time.perf_counter()
            kept = run()
            elapsed = time.perf_counter() - start
        del kept
        return elapsed
    finally:
        if collecting:
            gc.enable()


@dataclass(frozen=True)
class InterleavedTimes(Generic[_Key]):
    """Times of callables that ran in interleaved rounds.

    Attributes:
        times: The seconds of each callable that never raised, in the order of rounds.
        failures: What the others raised; they took no further part.
    """

    times: dict[_Key, list[float]]
    failures: dict[_Key, Exception] = field(default_factory=dict)


def time_interleaved(
    runs: Mapping[_Key, Callable[[], object]],
    device: torch.device,
    *,
    rounds: int,
    min_rounds: int = 0,
    limit_s: float = math.inf,
    warm_up_rounds: int = 0,
    participants: Callable[[Mapping[_Key, list[float]]], Iterable[_Key]] | None = None,
    shuffle: random.Random | None = None,
) -> InterleavedTimes[_Key]:
    """Time callables in rounds, one run each a round, so that all share machine drift.

    The order of a round is that of the round before, reversed.

    Args:
        runs: The callables by name.
        device: The device that they run on.
        rounds: The largest number of rounds.
        min_rounds: Rounds that are run even if they exceed the time limit.
        limit_s: No round begins once the timed runs took this many seconds together.
        warm_up_rounds: Rounds before the first that are run and not recorded.
        participants: Called before each round with the times so far; returns the names
            that take part in it, none to stop. By default all take part.
        shuffle: Shuffles the order of each round instead.

    Returns:
        The times by name.
    """
    found = InterleavedTimes[_Key]({name: [] for name in runs})
    spent_s = 0.0
    for number in range(-warm_up_rounds, rounds):
        if number >= min_rounds and spent_s >= limit_s:
            break
        chosen = runs if participants is None else participants(found.times)
        turn = [name for name in chosen if name in found.times]
        if not turn:
            break
        if shuffle is not None:
            shuffle.shuffle(turn)
        elif number % 2:
            turn.reverse()
        for name in turn:
            try:
                taken_s = seconds(runs[name], device)
            except Exception as error:
                found.failures[name] = error
                del found.times[name]
                continue
            if number >= 0:
                found.times[name].append(taken_s)
                spent_s += taken_s
    return found


def format_seconds(value: float) -> str:
    """Write a time as people do: `3.21 ms`."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} us"


@functools.cache
def warm_up() -> None:
    """Have torch load what it loads at the first use of its transforms, once.

    It takes a second, which is no candidate's fault.
    """
    one = torch.ones(1)
    torch.func.jacfwd(torch.func.jacrev(torch.sin))(one)


class Peak:
    """The most bytes that were allocated at once beyond those at the start."""

    bytes: int = 0


@contextmanager
def peak_memory(
    device: torch.device, existing: Iterable[Tensor] = ()
) -> Generator[Peak]:
    """Measure the peak of torch's own allocations.

    On CUDA the allocator keeps count. On CPU it does not, so every storage that an
    operator returns is counted while it lives; what an operator takes and frees inside
    its kernel is not seen. Counting costs time: never measure both in one run.

    Args:
        device: Whose allocations.
        existing: Tensors that are there already, if they are not to be told from how
            they are first met (fake copies of a module's parameters).

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
        counter = _StorageCounter()
        for tensor in existing:
            counter.meet(tensor, made=False)
        with counter:
            yield peak
        peak.bytes = counter.peak


class _StorageCounter(TorchDispatchMode):
    """Counts the bytes of the storages that operators make, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.meet(leaf, made=False)
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.meet(leaf, made=True)
        return result

    def meet(self, tensor: Tensor, *, made: bool) -> None:
        """Take note of a storage; one first met as an argument was there before."""
        if tensor.layout != torch.strided:
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
