"""Strategies with one fault each, cheap enough to be tried first."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from jacengine import Passes, Point, Pullback, Pushforward
from jacengine._torchfunc import Tensors
from jacengine.interface import Action
from jacengine.strategies.vmap_jvp import VmapJvp
from jacengine.strategies.vmap_vjp import VmapVjp

Spoil = Callable[[Tensor], Any]
"""From the right products `(K, *leaf)` of one leaf to wrong ones."""


@final
@dataclass(frozen=True)
class Reverse(Pullback):
    """The VJP under vmap, spoilt."""

    spoil: Spoil

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "right products, spoilt"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        right = VmapVjp().linearize(point)
        return lambda seeds: tuple(map(self.spoil, right(seeds)))


@final
@dataclass(frozen=True)
class Forward(Pushforward):
    """The JVP under vmap, spoilt."""

    spoil: Spoil

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "right products, spoilt"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        right = VmapJvp().linearize(point)
        return lambda seeds: tuple(map(self.spoil, right(seeds)))


@final
@dataclass(frozen=True)
class Raising(Pullback):
    """Raises at its first linearization, or at the n-th action after one.

    Attributes:
        error: What it raises.
        at: Which action of a linearization raises; 0 for the linearization itself.
    """

    error: Exception
    at: int = 0

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "raises"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    single: ClassVar[bool] = True

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        if self.at == 0:
            raise self.error
        right = VmapVjp().linearize(point)
        calls = 0

        def action(seeds: Tensors) -> Tensors:
            nonlocal calls
            calls += 1
            if calls == self.at:
                raise self.error
            return right(seeds)

        return action


@final
@dataclass(frozen=True)
class Meddling(Pullback):
    """Right, but does something to the point that is not its own.

    Attributes:
        meddle: What it does.
        after: Whether it does it after its products are made, or before.
    """

    meddle: Callable[[Point], object]
    after: bool = True

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "meddles"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        right = VmapVjp().linearize(point)

        def action(seeds: Tensors) -> Tensors:
            products = tuple(product.clone() for product in right(seeds))
            self.meddle(point)
            return products

        return action


@final
@dataclass(frozen=True)
class Sharing(Pullback):
    """Returns a buffer that its next call overwrites."""

    buffers: dict[int, Tensor] = field(default_factory=dict[int, Tensor])

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "one buffer for all products"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        right = VmapVjp().linearize(point)

        def action(seeds: Tensors) -> Tensors:
            (product,) = right(seeds)
            buffer = self.buffers.setdefault(product.numel(), torch.empty_like(product))
            return (buffer.copy_(product),)

        return action


@final
@dataclass(frozen=True)
class Slow(Pullback):
    """Right, and takes its time over each direction."""

    seconds: float

    name: ClassVar[str] = "faulty"
    method: ClassVar[str] = "sleeps"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    single: ClassVar[bool] = True

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> Action:
        right = VmapVjp().linearize(point)

        def action(seeds: Tensors) -> Tensors:
            time.sleep(self.seconds)
            return right(seeds)

        return action
