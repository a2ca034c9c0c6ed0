"""Timing of runs, one by one or in interleaved rounds."""

from __future__ import annotations

import functools
import gc
import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

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
    one = torch.ones(1, device="cpu")
    torch.func.jacfwd(torch.func.jacrev(torch.sin))(one)
