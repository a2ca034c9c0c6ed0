"""How the samples of a batch share the work, and the points that follow from it.

| sample_policy | a pass serves | when |
|---|---|---|
| `none` | the one point there is | no `batch_dim` |
| `together` | the same entry of every sample | independent samples, own inputs |
| `inside` | the same, each sample linearized inside vmap | VJPs to shared inputs |
| `expanded` | the same, each with a copy of what is shared | where that fails |
| `loop` | one sample | the same, where vmap cannot make the copies |
| `joint` | one entry of one sample | shared inputs of coupled samples |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum

import torch
from torch import Tensor

from jacengine._torchfunc import Function, Tensors, vmap
from jacengine.interface import Contraction, Curvature, Point, Pushforward, Strategy
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.seeding.basis import Seeding, balanced


class SamplePolicy(StrEnum):
    """How the samples of a batch share the work."""

    NONE = "none"
    BATCHED = "together"
    VMAP_SAMPLES = "inside"
    EXPAND_SHARED = "expanded"
    SAMPLE_LOOP = "loop"
    COUPLED_ROWS = "joint"


def choices(problem: Problem, strategy: Strategy) -> tuple[SamplePolicy, ...]:
    """List the batchings that are right for a strategy, the best first."""
    if problem.batch_size is None:
        return (SamplePolicy.NONE,)
    if isinstance(strategy, Pushforward | Curvature):
        return (SamplePolicy.BATCHED,)
    if problem.part != "whole" and problem.shares and problem.changes_state:
        return ()  # pulled sample by sample, each would be another function
    if problem.coupled:
        return (SamplePolicy.COUPLED_ROWS,)
    if isinstance(strategy, Contraction) or not problem.layout.shared:
        return (SamplePolicy.BATCHED,)
    if problem.stochastic:
        # Only the batch as a whole draws the numbers that the user's call draws.
        return (SamplePolicy.COUPLED_ROWS,)
    if strategy.composes:
        return (
            SamplePolicy.VMAP_SAMPLES,
            SamplePolicy.EXPAND_SHARED,
            SamplePolicy.SAMPLE_LOOP,
        )
    return (SamplePolicy.EXPAND_SHARED, SamplePolicy.SAMPLE_LOOP)


def sliceable(problem: Problem, sample_policy: SamplePolicy) -> bool:
    """Tell whether samples may go through the function some at a time.

    A function that draws random numbers draws others for a part of the batch, and one
    that writes buffers would write them several times.
    """
    apart = sample_policy in {
        SamplePolicy.BATCHED,
        SamplePolicy.VMAP_SAMPLES,
        SamplePolicy.EXPAND_SHARED,
    }
    return apart and not (problem.changes_state or problem.coupled)


def slices(
    problem: Problem, sample_policy: SamplePolicy, samples: int | None
) -> tuple[slice, ...]:
    """Split the samples into those of each linearization, evenly.

    Args:
        problem: What is computed.
        sample_policy: How samples share a pass.
        samples: How many share one at most, `None` for all.
    """
    most = 1 if sample_policy is SamplePolicy.SAMPLE_LOOP else samples
    return tuple(balanced(problem.sample_count, most))


def points(
    problem: Problem,
    bound: BoundFunction,
    strategy: Strategy,
    sample_policy: SamplePolicy,
    samples: int | None,
) -> Iterator[tuple[Point, slice]]:
    """Yield what to linearize, and which samples of the result it gives."""
    parts = slices(problem, sample_policy, samples)
    if strategy.inner is not bound.inner:
        bound = replace(bound, inner=strategy.inner)
    for part in parts:
        some = bound if len(parts) == 1 else bound.samples(part.start, part.stop)
        size = None if problem.batch_size is None else part.stop - part.start
        yield _point_of(problem, some, sample_policy, size), part


def _point_of(
    problem: Problem,
    bound: BoundFunction,
    sample_policy: SamplePolicy,
    size: int | None,
) -> Point:
    """Make the point of a call on `size` samples."""
    primals = bound.primals(connected=problem.options.create_graph)
    match sample_policy:
        case SamplePolicy.NONE | SamplePolicy.COUPLED_ROWS:
            return _point(problem, bound, _copies(bound), primals, None)
        case SamplePolicy.VMAP_SAMPLES:
            point = _point(problem, bound, _copies(bound), primals, size)
            point.over_samples = bound.over_samples
            return point
        case SamplePolicy.EXPAND_SHARED:
            function = bound.per_sample()
            expanded = _expanded(problem, primals, size or 1)
            return _point(problem, function, _copies(function), expanded, size)
        case SamplePolicy.BATCHED | SamplePolicy.SAMPLE_LOOP:
            plain = problem.shares or sample_policy is SamplePolicy.SAMPLE_LOOP
            copies = _copies(bound) if plain else _along_samples(bound)
            return _point(problem, bound, copies, primals, size)


def seeding(
    problem: Problem, strategy: Strategy, sample_policy: SamplePolicy
) -> Seeding:
    """Choose the directions that a strategy takes through the points."""
    apart = sample_policy not in {SamplePolicy.NONE, SamplePolicy.COUPLED_ROWS}
    samples = problem.batch_size if apart else None
    if isinstance(strategy, Pushforward | Curvature):
        entries = _every(problem.columns, problem.column_count)
        per_leaf = [None if i.batch_dim is None else samples for i in problem.inputs]
        return Seeding(problem.inputs, tuple(per_leaf), entries)
    entries = _every(problem.rows, problem.row_count)
    if sample_policy is not SamplePolicy.COUPLED_ROWS:
        return Seeding(problem.outputs, (samples,) * len(problem.outputs), entries)
    size = problem.sample_count
    joined = tuple(
        TensorSpec(leaf.label, (size, *leaf.shape), leaf.dtype, leaf.device)
        for leaf in problem.outputs
    )
    if problem.rows is None:
        entries = torch.arange(size * entries.numel())
    else:
        entries = _joint_entries(problem.outputs, entries, size)
    return Seeding(joined, (None,) * len(joined), entries)


def _every(chosen: Tensor | None, count: int) -> Tensor:
    return torch.arange(count) if chosen is None else chosen


def _joint_entries(
    outputs: tuple[TensorSpec, ...], rows: Tensor, batch_size: int
) -> Tensor:
    """Find entry `(b, r)` among all outputs of the whole batch flattened."""
    sample = torch.arange(batch_size).unsqueeze(1)
    found = torch.zeros(batch_size, rows.numel(), dtype=torch.int64)
    offset = 0
    for leaf in outputs:
        inside = (rows >= offset) & (rows < offset + leaf.size)
        joint = offset * batch_size + sample * leaf.size + (rows - offset)
        found = torch.where(inside, joint, found)
        offset += leaf.size
    return found.flatten()


def _point(
    problem: Problem,
    function: Function,
    replicated: Function,
    primals: Tensors,
    batch_size: int | None,
) -> Point:
    return Point(
        function=function,
        replicated=replicated,
        primals=primals,
        create_graph=problem.options.create_graph,
        module=problem.module,
        names=problem.layout.names,
        batch_size=batch_size,
    )


def _copies(function: Function) -> Function:
    """Evaluate `K` copies under vmap, which is built when it is used."""

    def replicated(*primals: Tensor) -> Tensors:
        outputs: Tensors = vmap(function)(*primals)
        return outputs

    return replicated


def _along_samples(bound: BoundFunction) -> Function:
    """Evaluate `K` copies as one batch of `K * B` samples: no vmap involved."""

    def replicated(*primals: Tensor) -> Tensors:
        count = primals[0].shape[0]
        outputs = bound.copies(count)(*(p.flatten(0, 1) for p in primals))
        return tuple(output.unflatten(0, (count, -1)) for output in outputs)

    return replicated


def _expanded(problem: Problem, primals: Tensors, size: int) -> Tensors:
    return tuple(
        primal.expand(size, *primal.shape) if leaf.batch_dim is None else primal
        for primal, leaf in zip(primals, problem.inputs, strict=True)
    )
