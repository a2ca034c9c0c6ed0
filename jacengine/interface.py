"""The interface of a strategy: how products with a Jacobian are obtained.

Everything else (which directions, how many at once, where the products go, how much
memory that may take) is the engine's, and every strategy gets it for free.

A strategy works in two steps, as `jax.vjp` and `torch.func.linearize` do. `linearize`
runs the forward pass that it needs at a point and returns a *linear map* from `K` seeds
to `K` products, which is called for each block of directions.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from jacengine._torchfunc import Function, Tensors
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.problem.quantity import FIRST_ORDER, SECOND_ORDER, Quantity

Mode = Literal["jvp", "vjp", "trace", "direct"]
"""| mode | a linear map takes | and returns |
|---|---|---|
| `jvp` | tangents of the primals, each `(K, *in)` | tangents of the outputs |
| `vjp` | cotangents of the outputs, each `(K, *out)` | cotangents of the primals |
| `trace` | tangents `v_k` of the primals | `sum_k v_k^T H v_k`, each `(*out)` |
| `direct` | nothing | all rows of J, each `(R, *in)` |"""

LinearMap = Callable[..., Tensors]
"""Maps seeds to products; with `writes_out`, it takes `out=` to write them into."""

Tuning = tuple[tuple[str, str], ...]
"""Choices that a strategy made by measurement: pairs of what and which, sorted."""


@dataclass(frozen=True)
class Unsupported:
    """Why a strategy cannot compute a Jacobian."""

    reason: str


@dataclass(frozen=True)
class Passes:
    """How often the function is called, and how often a graph is pulled back.

    A vectorised pass over many directions counts once.
    """

    forward: int
    backward: int

    def __mul__(self, times: int) -> Passes:
        """Repeat the work."""
        return Passes(self.forward * times, self.backward * times)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a strategy can do; all that the engine distinguishes strategies by.

    Attributes:
        mode: Which products its linear map gives. A strategy has one mode: two would
            be timed and verified apart, so they are two strategies.
        max_directions: Directions that the linear map takes at a time, `None` for any
            number.
        gradients: The gradient modes to compose it with for second derivatives.
        per_sample_shared: Whether its products with cotangents keep the samples of
            shared primals apart, `(K, B, *param)`; an ordinary VJP sums over them.
        writes_out: Whether its linear map takes `out=`, views of the result.
        records_graph: Whether it needs autograd to record the forward pass.
        thread_safe: Whether several threads may run it at once.
        tunable: Whether it has something to prepare: see `Strategy.prepare`.
        vmappable: Whether it can be linearized and applied inside `torch.func.vmap`.
        trusted: Whether it neither writes to nor keeps a product that it has returned,
            so that the product may become the result without a copy, and changes
            nothing: no random numbers, no primals, modules or settings of torch. What
            is not trusted is guarded, by copies of all that at each call.
        captures: Whether it captures the function as a program, which takes a tenth of
            a second or more before its first run.
    """

    mode: Mode
    max_directions: int | None = None
    gradients: tuple[GradientMode, ...] = (GradientMode.VJP,)
    per_sample_shared: bool = False
    writes_out: bool = False
    records_graph: bool = True
    thread_safe: bool = True
    tunable: bool = False
    vmappable: bool = False
    trusted: bool = False
    captures: bool = False


@dataclass(slots=True)
class Point:
    """A function and where to linearize it.

    Attributes:
        function: Maps the primals, given one by one, to the tuple of outputs.
        replicated: The same for `K` copies at once: every primal and every output has
            a leading axis of copies.
        primals: The values, detached unless `create_graph`.
        create_graph: Whether products must be differentiable in turn.
        own: The module's own parameters, if the primals are their values and a graph
            is to begin at them.
        module: The module whose parameters the primals are, if they are.
        calling: Returns `function` with another module in the place of that one.
        names: The parameter name of each primal, if they are parameters.
        batch_size: How many samples are along axis 0 of every output; `None` when the
            outputs are one sample.
        call: The user's function at its arguments, for what captures it.
        over_samples: Runs `body(function, primals, seeds)` for each sample under vmap,
            if samples are kept apart that way: see `BoundFunction.over_samples`.
    """

    function: Function
    replicated: Function
    primals: Tensors
    create_graph: bool = False
    own: Tensors | None = None
    module: nn.Module | None = None
    calling: Callable[[nn.Module], Function] | None = None
    names: tuple[str, ...] = ()
    batch_size: int | None = None
    call: BoundFunction | None = None
    over_samples: Callable[..., Tensors] | None = None

    def tracked(self) -> Tensors:
        """Return the primals as starting points of an autograd graph."""
        if self.own is not None:
            return self.own
        return tuple(
            p.view_as(p)
            if self.create_graph and p.requires_grad
            else p.detach().requires_grad_()
            for p in self.primals
        )

    def copies(self, count: int) -> Tensors:
        """Return `count` copies of the primals as starting points of a new graph."""
        return tuple(
            p.expand(count, *p.shape).contiguous()
            if self.create_graph and p.requires_grad
            else p.detach().expand(count, *p.shape).contiguous().requires_grad_()
            for p in self.primals
        )


class Strategy(ABC):
    """A way to compute products with a Jacobian.

    Subclass it as a frozen dataclass with the strategy's options as fields. The
    contract, which `tests/contract` checks for every strategy: products are exact and
    of the shapes that `Mode` lists, and nothing of the user's is changed.

    Attributes:
        name: `[a-z][a-z0-9_]*`; how users select it.
        summary: What it does, in a few words, for tables.
        source: Where the method is from.
        wins: When it is the method of choice, in a few words.
        capabilities: What it can do.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    wins: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def check(self, problem: Problem) -> Unsupported | None:
        """Decide whether the strategy applies, from facts alone and without a pass.

        Args:
            problem: What is to be computed.

        Returns:
            `None` if it applies, else the reason why not.
        """
        del problem
        return None

    @abstractmethod
    def passes(self, blocks: int) -> Passes:
        """Predict the passes of one linearization and `blocks` calls of its map."""

    def prepare(
        self, point: Point, tuning: Tuning, *, timed: bool
    ) -> tuple[Strategy, Tuning]:
        """Do once what depends on the signature of the call only, if `tunable`.

        Args:
            point: An example of the points it will be linearized at.
            tuning: Choices made before, which are applied and not measured again.
            timed: Whether further choices may be made by measurement.

        Returns:
            The strategy to linearize with, and all choices.
        """
        del point, timed
        return self, tuning

    @abstractmethod
    def linearize(self, point: Point) -> LinearMap:
        """Return the linear map at a point, as the mode says."""


@dataclass(frozen=True)
class Composition:
    """A strategy, and the gradient that it differentiates for second derivatives.

    Forward over reverse, reverse over reverse, forward over forward and reverse over
    forward are such pairs.

    Attributes:
        strategy: The (outer) strategy.
        gradient: How the gradient is computed; `None` differentiates the function.
    """

    strategy: Strategy
    gradient: GradientMode | None = None

    @functools.cached_property
    def name(self) -> str:
        """How users select it: `vmap_jvp`, or `vmap_jvp_over_vjp`."""
        if self.gradient is None:
            return self.strategy.name
        return f"{self.strategy.name}_over_{self.gradient}"

    @property
    def summary(self) -> str:
        """What it does, in a few words, for tables."""
        if self.gradient is None:
            return self.strategy.summary
        return f"{self.strategy.summary}, of {self.gradient.summary}"

    @property
    def wins(self) -> str:
        """When it is the method of choice, in a few words."""
        return self.strategy.wins if self.gradient is None else "second derivatives"

    @property
    def capabilities(self) -> Capabilities:
        """What its strategy can do."""
        return self.strategy.capabilities

    @property
    def quantities(self) -> frozenset[Quantity]:
        """What it computes."""
        if self.capabilities.mode == "trace":
            return frozenset({"laplacian"})
        return FIRST_ORDER if self.gradient is None else SECOND_ORDER

    def passes(self, blocks: int) -> Passes:
        """Predict the passes; a gradient is a forward and, by VJP, a backward pass."""
        outer = self.strategy.passes(blocks)
        if self.gradient in {None, GradientMode.JVP}:
            return outer
        return Passes(outer.forward, outer.forward + 2 * outer.backward)


def compositions(strategy: Strategy) -> tuple[Composition, ...]:
    """List what a strategy computes: by itself, and composed with gradients."""
    able = strategy.capabilities
    if able.mode == "trace":
        return (Composition(strategy),)
    return (
        Composition(strategy),
        *(Composition(strategy, gradient) for gradient in able.gradients),
    )
