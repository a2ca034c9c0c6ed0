"""What a strategy is: a way to push tangents or pull cotangents through a function.

Everything else (which directions, how many at once, where the products go, how much
memory that may take) is the engine's, and every strategy gets it for nothing.

A strategy works in two steps, as `jax.vjp` and `torch.func.linearize` do. `linearize`
runs the forward pass it needs at a point and returns an *action*, which maps `K` seeds
to `K` products. The action is used for all chunks of directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import nn

from jacengine._torchfunc import Function, Tensors
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.problem.quantity import Quantity


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


@dataclass(slots=True)
class Point:
    """A function and where to linearize it.

    Attributes:
        function: Maps the primals, one by one, to the tuple of outputs.
        replicated: The same for `K` copies at once: every primal and every output has
            a leading axis of copies.
        primals: The values, detached unless `create_graph`.
        create_graph: Whether products must be differentiable in turn.
        module: The module whose parameters the primals are, if they are.
        names: The parameter name of each primal, if they are.
        batch_size: How many samples lie along axis 0 of every output; `None` when the
            outputs are one sample.
        over_samples: Runs `body(function, primals, seeds)` of each sample under vmap,
            if that is how samples are to be kept apart: see
            `BoundFunction.over_samples`.
    """

    function: Function
    replicated: Function
    primals: Tensors
    create_graph: bool = False
    module: nn.Module | None = None
    names: tuple[str, ...] = ()
    batch_size: int | None = None
    over_samples: Callable[..., Tensors] | None = None

    def tracked(self) -> Tensors:
        """Return the primals as starting points of a new autograd graph."""
        return tuple(
            p.view_as(p)
            if self.create_graph and p.requires_grad
            else p.detach().requires_grad_()
            for p in self.primals
        )

    def copies(self, count: int) -> Tensors:
        """Return `count` copies of the primals as starting points of a new graph."""
        return tuple(
            p.expand(count, *p.shape)
            if self.create_graph and p.requires_grad
            else p.detach().expand(count, *p.shape).requires_grad_()
            for p in self.primals
        )


Action = Callable[[Tensors], Tensors]
"""Maps seeds, each `(K, *leaf)`, to products, each `(K, *leaf)` of the other side."""


class Strategy(ABC):
    """A method to compute products with a Jacobian.

    Subclass `Pushforward`, `Pullback`, `Contraction` or `Curvature`, as a frozen
    dataclass with the method's options as fields. The contract, which `tests/contract`
    holds every strategy to: products are exact, of the outputs' (tangents) or inputs'
    (cotangents) shape, and nothing of the user's is changed.

    Attributes:
        name: `[a-z][a-z0-9_]*`; how users ask for it.
        method: What it does, in a few words, for tables.
        source: Where the method is from.
        wins: When it is the method of choice, in a few words.
        single: Whether the action takes one direction at a time (`K = 1`).
        records_graph: Whether it needs autograd to record the forward pass.
        trusted: Whether nobody writes to or keeps a product after the action has
            returned it, so that it may become the result without a copy, and the
            strategy itself draws no random numbers. Saves copies and checks.
        thread_safe: Whether several threads may run it at once.
        composes: Whether it can be linearized and run inside of `torch.func.vmap`.
        quantities: What it computes.
        inner: How the gradient is computed that it differentiates; `None` if it
            differentiates the function itself.
        gradients: The ways of a gradient that it should be tried on, for second
            derivatives; each makes a strategy of its own (see `nested`).
    """

    name: ClassVar[str]
    method: ClassVar[str]
    source: ClassVar[str]
    wins: ClassVar[str]
    single: ClassVar[bool] = False
    records_graph: ClassVar[bool] = True
    trusted: ClassVar[bool] = False
    thread_safe: ClassVar[bool] = True
    composes: ClassVar[bool] = False
    quantities: ClassVar[frozenset[Quantity]] = frozenset({"jacobian"})
    inner: ClassVar[GradientMode | None] = None
    gradients: ClassVar[tuple[GradientMode, ...]] = (GradientMode.VJP,)

    def check(self, problem: Problem) -> Unsupported | None:
        """Say whether the method applies, from facts alone and without a pass.

        Args:
            problem: What is asked for.

        Returns:
            `None` if it applies, else the reason.
        """
        del problem
        return None

    @abstractmethod
    def passes(self, blocks: int) -> Passes:
        """Predict the passes that `blocks` calls of one action take in all."""


class Pushforward(Strategy):
    """Forward mode: products `J v` with tangents."""

    @abstractmethod
    def linearize(self, point: Point) -> Action:
        """Return the map from tangents of the primals to tangents of the outputs."""


class Pullback(Strategy):
    """Reverse mode: products `u^T J` with cotangents."""

    @abstractmethod
    def linearize(self, point: Point) -> Action:
        """Return the map from cotangents of the outputs to those of the primals."""


class Curvature(Strategy):
    """Second-order forward mode: sums of second directional derivatives.

    Its action maps tangents `v_1 .. v_K` to `sum_k v_k^T H v_k`, one tensor an output,
    of the output's shape. Of the basis that is the Laplacian.
    """

    quantities: ClassVar[frozenset[Quantity]] = frozenset({"laplacian"})

    @abstractmethod
    def linearize(self, point: Point) -> Action:
        """Return the map from tangents of the primals to sums over them."""


class Contract(Protocol):
    """The action of a `Contraction`."""

    def __call__(self, seeds: Tensors, out: Tensors | None = None) -> Tensors:
        """Pull cotangents back to parameters, sample by sample.

        Args:
            seeds: Cotangents `(K, *out)`, or `(K, B, *out)` with samples.
            out: Where to write, `(K, *param)` or `(K, B, *param)`; strided views.

        Returns:
            The products; `out` if it was given.
        """
        ...


class Contraction(Strategy):
    """Reverse mode that keeps the samples of shared parameters apart.

    An ordinary VJP sums the gradient of a shared parameter over the batch. A
    contraction gives `(K, B, *param)`, and writes into the result directly.
    """

    gradients: ClassVar[tuple[GradientMode, ...]] = ()

    def prepare(self, point: Point, *, timed: bool) -> Contraction:
        """Do once what depends on the signature only; return what to linearize.

        Args:
            point: An example of the points it will be linearized at.
            timed: Whether choices may be made by measurement; else they must be the
                same everywhere.
        """
        del point, timed
        return self

    @abstractmethod
    def linearize(self, point: Point) -> Contract:
        """Return the map from cotangents to per-sample cotangents of the primals."""
