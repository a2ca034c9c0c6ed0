"""One way to compute a Jacobian: a strategy and a choice on every other axis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jacengine.execution.kernel_fallbacks import KernelFallback
from jacengine.interface import Curvature, Passes, Pushforward, Strategy
from jacengine.problem.problem import Problem
from jacengine.seeding.basis import balanced
from jacengine.seeding.samples import SamplePolicy, slices


class Execution(StrEnum):
    """How a pass is run."""

    EAGER = "eager"
    COMPILED = "compiled"


@dataclass(frozen=True)
class Method:
    """A strategy, how samples share its work, how many directions a pass takes.

    Attributes:
        strategy: How one block of products is obtained.
        sample_policy: How samples share a pass.
        chunk_size: Directions a pass, `None` for all.
        scopes: Settings of torch that hold meanwhile.
        samples: Samples that go through the function at once, `None` for all.
        execution: Whether the whole is traced and compiled at the first run.
    """

    strategy: Strategy
    sample_policy: SamplePolicy
    chunk_size: int | None = None
    scopes: tuple[KernelFallback, ...] = ()
    samples: int | None = None
    execution: Execution = Execution.EAGER

    @property
    def block_size(self) -> int | None:
        """Directions a call of the action."""
        return 1 if self.strategy.single else self.chunk_size

    @property
    def notes(self) -> tuple[str, ...]:
        """What a table says beside the strategy's name."""
        sample_policy = {
            SamplePolicy.VMAP_SAMPLES: "sample by sample under vmap",
            SamplePolicy.EXPAND_SHARED: "shared inputs expanded over samples",
            SamplePolicy.SAMPLE_LOOP: "sample by sample",
            SamplePolicy.COUPLED_ROWS: "every sample's outputs as rows of one Jacobian",
        }
        said = ["compiled"] if self.execution is Execution.COMPILED else []
        said += (
            [sample_policy[self.sample_policy]]
            if self.sample_policy in sample_policy
            else []
        )
        if self.samples is not None:
            said.append(f"{self.samples} samples at a time")
        return (*said, *(scope.name for scope in self.scopes))

    def directions(self, problem: Problem) -> int:
        """Count the directions of one sweep."""
        if isinstance(self.strategy, Pushforward | Curvature):
            return problem.column_count
        joint = self.sample_policy is SamplePolicy.COUPLED_ROWS
        return problem.row_count * (problem.sample_count if joint else 1)

    def passes(self, problem: Problem) -> Passes:
        """Predict the calls of the function and the backward passes, all in all."""
        directions = self.directions(problem)
        blocks = sum(1 for _ in balanced(directions, self.block_size))
        sweeps = len(slices(problem, self.sample_policy, self.samples))
        if (
            self.sample_policy is SamplePolicy.VMAP_SAMPLES
        ):  # linearizes anew for every block
            return self.strategy.passes(1) * (blocks * sweeps)
        return self.strategy.passes(blocks) * sweeps
