"""Sample policies: how the samples of a batch share a pass.

| sample policy | a pass serves | when |
|---|---|---|
| `unbatched` | the one point there is | no `batch_dim` |
| `batched` | the same entry of every sample | independent samples, own inputs |
| `vmap_samples` | the same, each sample inside vmap | VJPs to shared inputs |
| `expand_shared` | the same, shared inputs expanded over samples | where that fails |
| `sample_loop` | one sample | the same, where vmap cannot expand |
| `coupled_rows` | one entry of one sample | shared inputs of coupled samples |
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from jacengine.interface import Capabilities
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.task import balanced


class SamplePolicy(StrEnum):
    """How the samples of a batch share a pass."""

    UNBATCHED = "unbatched"
    BATCHED = "batched"
    VMAP_SAMPLES = "vmap_samples"
    EXPAND_SHARED = "expand_shared"
    SAMPLE_LOOP = "sample_loop"
    COUPLED_ROWS = "coupled_rows"

    @property
    def note(self) -> str:
        """What a table says of it; nothing where it is the only one."""
        return {
            SamplePolicy.VMAP_SAMPLES: "sample by sample under vmap",
            SamplePolicy.EXPAND_SHARED: "shared inputs expanded over samples",
            SamplePolicy.SAMPLE_LOOP: "sample by sample",
            SamplePolicy.COUPLED_ROWS: "every sample's outputs as rows of one Jacobian",
        }.get(self, "")


def sample_policies(
    problem: Problem, capabilities: Capabilities
) -> tuple[SamplePolicy, ...]:
    """List the sample policies that are right for a strategy, the best first."""
    if problem.batch_size is None:
        return (SamplePolicy.UNBATCHED,)
    if capabilities.mode != "vjp":
        return (SamplePolicy.BATCHED,)
    if problem.part != "whole" and problem.shares and problem.changes_state:
        return ()  # pulled back sample by sample, each would be another function
    if problem.coupled:
        return (SamplePolicy.COUPLED_ROWS,)
    if capabilities.per_sample_shared or not problem.shares:
        return (SamplePolicy.BATCHED,)
    if problem.stochastic:
        # Only the batch as a whole draws the numbers that the user's call draws.
        return (SamplePolicy.COUPLED_ROWS,)
    expanding = (SamplePolicy.EXPAND_SHARED, SamplePolicy.SAMPLE_LOOP)
    return (
        (SamplePolicy.VMAP_SAMPLES, *expanding) if capabilities.vmappable else expanding
    )


def sliceable(problem: Problem, policy: SamplePolicy) -> bool:
    """Tell whether samples may go through the function in slices.

    A function that draws random numbers draws others for a part of the batch, and one
    that writes buffers would write them several times.
    """
    apart = policy in {
        SamplePolicy.BATCHED,
        SamplePolicy.VMAP_SAMPLES,
        SamplePolicy.EXPAND_SHARED,
    }
    return apart and not (problem.changes_state or problem.coupled)


def sample_slices(
    problem: Problem, policy: SamplePolicy, slice_size: int | None
) -> tuple[slice, ...]:
    """Split the samples into those of each linearization, evenly.

    Args:
        problem: What is computed.
        policy: How samples share a pass.
        slice_size: How many samples share one at most, `None` for all.
    """
    most = 1 if policy is SamplePolicy.SAMPLE_LOOP else slice_size
    return tuple(balanced(problem.sample_count, most))


def at_samples(
    problem: Problem, bound: BoundFunction, some: slice
) -> tuple[Problem, BoundFunction]:
    """Return the problem, and the call, of a range of the samples."""
    spec = replace(problem.call_spec, batch_size=some.stop - some.start)
    return replace(problem, call_spec=spec), bound.samples(some.start, some.stop)
