"""A method: one point in the product of all axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from jacengine.execution.kernel_fallbacks import KernelFallback
from jacengine.interface import Capabilities, Composition, Passes, Strategy, Tuning
from jacengine.problem.gradient import GradientMode
from jacengine.problem.problem import Problem
from jacengine.seeding.basis import Basis
from jacengine.seeding.colored import Colors
from jacengine.seeding.samples import SamplePolicy, sample_slices
from jacengine.seeding.seeding import Seeding, SeedingPolicy
from jacengine.seeding.two_sided import TwoSidedColors
from jacengine.task import balanced

BASIS = Basis()
"""The default seeding."""
COLORS = Colors()
"""The seeding of sparse Jacobians."""
TWO_SIDED = TwoSidedColors()
"""The same of those with full rows and full columns."""


class Execution(StrEnum):
    """How a sweep is run."""

    EAGER = "eager"
    COMPILED = "compiled"


@dataclass(frozen=True)
class Method:
    """A way to compute a Jacobian, in full; a value that can be compared and saved.

    Attributes:
        strategy: How products of a block of directions are obtained.
        gradient: The gradient that it differentiates, for second derivatives.
        sample_policy: How samples share a pass.
        slice_size: Samples that go through the function at once, `None` for all.
        seeding: Which directions are taken.
        chunk_size: Directions a pass, `None` for all.
        execution: How the sweep is run.
        fallbacks: Fused kernels that are switched off meanwhile.
        tuning: Choices that the strategy made by measurement.
        other: The method of the other side of the matrix, where one pushes the colours
            of columns and one pulls those of rows; this one comes first.
    """

    strategy: Strategy
    gradient: GradientMode | None = None
    sample_policy: SamplePolicy = SamplePolicy.UNBATCHED
    slice_size: int | None = None
    seeding: SeedingPolicy = BASIS
    chunk_size: int | None = None
    execution: Execution = Execution.EAGER
    fallbacks: tuple[KernelFallback, ...] = ()
    tuning: Tuning = ()
    other: Method | None = None

    @property
    def sides(self) -> tuple[Method, ...]:
        """This method, and that of the other side of the matrix, each by itself."""
        if self.other is None:
            return (self,)
        return replace(self, other=None), self.other

    def in_slices(self, size: int) -> Method:
        """Return the method with so many samples at a time, on both sides."""
        other = self.other and self.other.in_slices(size)
        return replace(self, slice_size=size, other=other)

    @property
    def composition(self) -> Composition:
        """The strategy, composed with the gradient."""
        return Composition(self.strategy, self.gradient)

    @property
    def name(self) -> str:
        """How users select its strategy: `vmap_jvp_over_vjp`."""
        return self.composition.name

    @property
    def capabilities(self) -> Capabilities:
        """What its strategy can do."""
        return self.strategy.capabilities

    @property
    def block_size(self) -> int | None:
        """Directions a call of the linear map, `None` for all."""
        most = self.capabilities.max_directions
        if most is None or self.chunk_size is None:
            return self.chunk_size if most is None else most
        return min(most, self.chunk_size)

    @property
    def colored(self) -> bool:
        """Whether its directions are colours of a sparsity pattern."""
        return any(side.seeding != BASIS for side in self.sides)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a table says beside the strategy's name."""
        compiled = self.execution is Execution.COMPILED
        sliced = self.slice_size
        notes = (
            "compiled" if compiled else "",
            self.sample_policy.note,
            "" if sliced is None else f"{sliced} samples at a time",
            "" if self.seeding.name == Basis.name else f"seeded by {self.seeding.name}",
            *(fallback.name for fallback in self.fallbacks),
            "" if self.other is None else f"rows by {self.other.name}",
        )
        return tuple(note for note in notes if note)

    def seeds(self, problem: Problem) -> Seeding:
        """Return the directions that it takes for a problem."""
        return self.seeding.bind(problem, self.capabilities.mode, self.sample_policy)

    def directions(self, problem: Problem) -> int:
        """Count the directions of one sweep."""
        return sum(side.seeds(problem).count for side in self.sides)

    def passes(self, problem: Problem) -> Passes:
        """Predict the calls of the function and the backward passes, all in all."""
        if self.other is not None:
            one, other = (side.passes(problem) for side in self.sides)
            return Passes(one.forward + other.forward, one.backward + other.backward)
        directions = self.directions(problem)
        blocks = sum(1 for _ in balanced(directions, self.block_size))
        slices = len(sample_slices(problem, self.sample_policy, self.slice_size))
        if self.sample_policy is SamplePolicy.VMAP_SAMPLES:
            # It linearizes anew for every block.
            return self.composition.passes(1) * (blocks * slices)
        return self.composition.passes(blocks) * slices
