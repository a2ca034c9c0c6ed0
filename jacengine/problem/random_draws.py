"""Random numbers that a function draws: noticed, and the generators put back.

Torch's default generator is shared by all threads, so a change of its state does not
tell who has drawn. What this thread's operators draw is noticed as they run.
"""

from __future__ import annotations

import functools
import pickle
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from jacengine._torch_private import TorchDispatchMode


class watch_draws(TorchDispatchMode):  # noqa: N801 - reads as the context manager it is
    """Notice draws of this thread from the default generators of torch.

    Attributes:
        drawn: Whether there was one.
    """

    def __init__(self, devices: Iterable[torch.device] = ()) -> None:
        """Begin with none; draws on the CPU and on these accelerators count."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn: bool = False
        self._sources = default_sources(devices)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operator; a generator that it is given is not a default one."""
        given = (*args, *(kwargs or {}).values())
        if not _may_draw(func) or any(isinstance(x, torch.Generator) for x in given):
            return func(*args, **(kwargs or {}))
        before = [RandomState(source) for source in self._sources]
        result = func(*args, **(kwargs or {}))
        # Attention without dropout, for instance, could draw and does not.
        self.drawn |= any(state.drawn for state in before)
        return result


@functools.cache
def _may_draw(operator: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in operator.tags


@dataclass(frozen=True)
class RandomSource:
    """A random generator whose state can be read and put back."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def default_sources(devices: Iterable[torch.device]) -> list[RandomSource]:
    """Return the default generators of the CPU and of accelerators."""
    cpu = RandomSource(torch.get_rng_state, torch.set_rng_state)
    return [cpu, *map(_of_device, devices)]


def _of_device(device: torch.device) -> RandomSource:
    return RandomSource(
        lambda: torch.cuda.get_rng_state(device),
        lambda state: torch.cuda.set_rng_state(state, device),
    )


def is_generator(value: object) -> bool:
    """Tell whether a value is a random generator of torch, NumPy or Python."""
    return isinstance(value, (torch.Generator, Random, *_numpy_kinds()))  # noqa: S311


def own_sources(generators: Iterable[Any]) -> list[RandomSource]:
    """Return the generators that a function refers to, and the global ones."""
    found = [RandomSource(random.getstate, random.setstate)]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        found.append(RandomSource(numpy.random.get_state, numpy.random.set_state))
    return [*found, *map(_own_source, generators)]


def _own_source(generator: Any) -> RandomSource:
    if isinstance(generator, Random):  # noqa: S311
        return RandomSource(generator.getstate, generator.setstate)
    if hasattr(generator, "bit_generator"):
        held = generator.bit_generator
        return RandomSource(
            lambda: held.state, lambda state: setattr(held, "state", state)
        )
    return RandomSource(generator.get_state, generator.set_state)


def _numpy_kinds() -> tuple[type, ...]:
    numpy = sys.modules.get("numpy")
    return () if numpy is None else (numpy.random.Generator, numpy.random.RandomState)


class RandomState:
    """The state of one random generator, as it was."""

    def __init__(self, source: RandomSource) -> None:
        """Record it."""
        self._source = source
        self._known: Any = source.read()

    @property
    def drawn(self) -> bool:
        """Whether random numbers were drawn since."""
        now = self._source.read()
        if isinstance(now, Tensor):
            return not torch.equal(now, self._known)
        return pickle.dumps(now) != pickle.dumps(self._known)

    def restore(self) -> None:
        """Put the state back."""
        if self.drawn:
            self._source.write(self._known)
