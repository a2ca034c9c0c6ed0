"""Broken strategies, which predict so few passes that they are tried first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from jacengine import Capabilities, Passes, Point, Strategy
from jacengine._torchfunc import Tensors
from jacengine.interface import LinearMap
from jacengine.strategies.vmap_jvp import VmapJvp
from jacengine.strategies.vmap_vjp import VmapVjp

Wrap = Callable[[Point, LinearMap], LinearMap]
"""From a point and the right linear map at it to a wrong one."""


@final
@dataclass(frozen=True)
class Reverse(Strategy):
    """Reverse mode, made wrong."""

    wrap: Wrap

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "the VJP under vmap, made wrong"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="vjp")

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> LinearMap:
        return self.wrap(point, VmapVjp().linearize(point))


@final
@dataclass(frozen=True)
class ReverseSingle(Strategy):
    """Reverse mode, one direction at a time, made wrong."""

    wrap: Wrap

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "the VJP, one direction at a time, made wrong"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="vjp", max_directions=1)

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> LinearMap:
        return self.wrap(point, VmapVjp().linearize(point))


@final
@dataclass(frozen=True)
class Forward(Strategy):
    """Forward mode, made wrong."""

    wrap: Wrap

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "the JVP under vmap, made wrong"
    source: ClassVar[str] = "tests"
    wins: ClassVar[str] = "never"
    capabilities: ClassVar[Capabilities] = Capabilities(mode="jvp")

    def passes(self, blocks: int) -> Passes:
        del blocks
        return Passes(forward=0, backward=1)

    def linearize(self, point: Point) -> LinearMap:
        return self.wrap(point, VmapJvp().linearize(point))


def spoiling(spoil: Callable[[Tensor], Any]) -> Wrap:
    """Spoil each right product `(K, *leaf)`."""

    def wrap(_: Point, right: LinearMap) -> LinearMap:
        return lambda seeds: tuple(map(spoil, right(seeds)))

    return wrap


def scaling_where(seed: int, factor: float) -> Wrap:
    """Scale the products of one direction, the one that seeds this entry."""

    def wrap(_: Point, right: LinearMap) -> LinearMap:
        def linear_map(seeds: Tensors) -> Tensors:
            hit = seeds[0].flatten(1)[:, seed] != 0
            scale = torch.where(hit, factor, 1.0)
            return tuple(p * scale.view(-1, *[1] * (p.dim() - 1)) for p in right(seeds))

        return linear_map

    return wrap


def raising(error: Exception, at: int) -> Wrap:
    """Raise in the linear map's `at`-th call; 0: in the linearization itself."""

    def wrap(_: Point, right: LinearMap) -> LinearMap:
        if at == 0:
            raise error
        calls = 0

        def linear_map(seeds: Tensors) -> Tensors:
            nonlocal calls
            calls += 1
            if calls == at:
                raise error
            return right(seeds)

        return linear_map

    return wrap


def meddling(meddle: Callable[[Point], object]) -> Wrap:
    """Do something to the point after each call of the linear map."""

    def wrap(point: Point, right: LinearMap) -> LinearMap:
        def linear_map(seeds: Tensors) -> Tensors:
            products = tuple(product.clone() for product in right(seeds))
            meddle(point)
            return products

        return linear_map

    return wrap


def sharing() -> Wrap:
    """Return one buffer again and again, overwritten."""
    buffers: dict[int, Tensor] = {}

    def wrap(_: Point, right: LinearMap) -> LinearMap:
        def linear_map(seeds: Tensors) -> Tensors:
            (product,) = right(seeds)
            buffer = buffers.setdefault(product.numel(), torch.empty_like(product))
            return (buffer.copy_(product),)

        return linear_map

    return wrap
