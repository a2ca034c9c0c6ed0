"""How the samples of a batch share the work, and the points that follow from it.

| batching | a pass serves | when |
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
from jacengine.problems.call import Call
from jacengine.problems.layout import Leaf
from jacengine.problems.problem import Problem
from jacengine.products.seeding import Seeding, balanced


class Batching(StrEnum):
    """How the samples of a batch share the work."""

    NONE = "none"
    TOGETHER = "together"
    INSIDE = "inside"
    EXPANDED = "expanded"
    LOOP = "loop"
    JOINT = "joint"


def choices(problem: Problem, strategy: Strategy) -> tuple[Batching, ...]:
    """List the batchings that are right for a strategy, the best first."""
    if problem.batch_size is None:
        return (Batching.NONE,)
    if isinstance(strategy, Pushforward | Curvature):
        return (Batching.TOGETHER,)
    if problem.part != "whole" and problem.shares and problem.changes_state:
        return ()  # pulled sample by sample, each would be another function
    if problem.coupled:
        return (Batching.JOINT,)
    if isinstance(strategy, Contraction) or not problem.layout.shared:
        return (Batching.TOGETHER,)
    if problem.stochastic:
        # Only the batch as a whole draws the numbers that the user's call draws.
        return (Batching.JOINT,)
    if strategy.composes:
        return (Batching.INSIDE, Batching.EXPANDED, Batching.LOOP)
    return (Batching.EXPANDED, Batching.LOOP)


def sliceable(problem: Problem, batching: Batching) -> bool:
    """Tell whether samples may go through the function some at a time.

    A function that draws random numbers draws others for a part of the batch, and one
    that writes buffers would write them several times.
    """
    apart = batching in {Batching.TOGETHER, Batching.INSIDE, Batching.EXPANDED}
    return apart and not (problem.changes_state or problem.coupled)


def slices(
    problem: Problem, batching: Batching, samples: int | None
) -> tuple[slice, ...]:
    """Split the samples into those of each linearization, evenly.

    Args:
        problem: What is computed.
        batching: How samples share a pass.
        samples: How many share one at most, `None` for all.
    """
    most = 1 if batching is Batching.LOOP else samples
    return tuple(balanced(problem.sample_count, most))


def points(
    problem: Problem,
    call: Call,
    strategy: Strategy,
    batching: Batching,
    samples: int | None,
) -> Iterator[tuple[Point, slice]]:
    """Yield what to linearize, and which samples of the result it gives."""
    parts = slices(problem, batching, samples)
    if strategy.inner is not call.inner:
        call = replace(call, inner=strategy.inner)
    for part in parts:
        some = call if len(parts) == 1 else call.samples(part.start, part.stop)
        size = None if problem.batch_size is None else part.stop - part.start
        yield _point_of(problem, some, batching, size), part


def _point_of(
    problem: Problem, call: Call, batching: Batching, size: int | None
) -> Point:
    """Make the point of a call on `size` samples."""
    primals = call.primals(connected=problem.options.create_graph)
    match batching:
        case Batching.NONE | Batching.JOINT:
            return _point(problem, call, _copies(call), primals, None)
        case Batching.INSIDE:
            point = _point(problem, call, _copies(call), primals, size)
            point.over_samples = call.over_samples
            return point
        case Batching.EXPANDED:
            function = call.per_sample()
            expanded = _expanded(problem, primals, size or 1)
            return _point(problem, function, _copies(function), expanded, size)
        case Batching.TOGETHER | Batching.LOOP:
            plain = problem.shares or batching is Batching.LOOP
            copies = _copies(call) if plain else _along_samples(call)
            return _point(problem, call, copies, primals, size)


def seeding(problem: Problem, strategy: Strategy, batching: Batching) -> Seeding:
    """Choose the directions that a strategy takes through the points."""
    apart = batching not in {Batching.NONE, Batching.JOINT}
    samples = problem.batch_size if apart else None
    if isinstance(strategy, Pushforward | Curvature):
        entries = _every(problem.columns, problem.column_count)
        per_leaf = [None if i.batch_dim is None else samples for i in problem.inputs]
        return Seeding(problem.inputs, tuple(per_leaf), entries)
    entries = _every(problem.rows, problem.row_count)
    if batching is not Batching.JOINT:
        return Seeding(problem.outputs, (samples,) * len(problem.outputs), entries)
    size = problem.sample_count
    joined = tuple(
        Leaf(leaf.label, (size, *leaf.shape), leaf.dtype, leaf.device)
        for leaf in problem.outputs
    )
    if problem.rows is None:
        entries = torch.arange(size * entries.numel())
    else:
        entries = _joint_entries(problem.outputs, entries, size)
    return Seeding(joined, (None,) * len(joined), entries)


def _every(chosen: Tensor | None, count: int) -> Tensor:
    return torch.arange(count) if chosen is None else chosen


def _joint_entries(outputs: tuple[Leaf, ...], rows: Tensor, batch_size: int) -> Tensor:
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


def _along_samples(call: Call) -> Function:
    """Evaluate `K` copies as one batch of `K * B` samples: no vmap involved."""

    def replicated(*primals: Tensor) -> Tensors:
        count = primals[0].shape[0]
        outputs = call.copies(count)(*(p.flatten(0, 1) for p in primals))
        return tuple(output.unflatten(0, (count, -1)) for output in outputs)

    return replicated


def _expanded(problem: Problem, primals: Tensors, size: int) -> Tensors:
    return tuple(
        primal.expand(size, *primal.shape) if leaf.batch_dim is None else primal
        for primal, leaf in zip(primals, problem.inputs, strict=True)
    )
