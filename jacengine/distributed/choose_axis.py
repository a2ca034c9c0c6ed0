"""Along which axis a Jacobian is split: as requested, or where ranks compute least."""

from __future__ import annotations

from typing import Literal, get_args

from jacengine.distributed.split import Axis
from jacengine.errors import ArgumentError, unknown_choice
from jacengine.problem.problem import SPARSE, Problem

Shard = Axis | Literal["auto"]


def check_shard(shard: object) -> None:
    """Refuse what is no axis.

    Raises:
        ArgumentError: It is none.
    """
    known = ("auto", *get_args(Axis))
    if shard not in known:
        raise ArgumentError(unknown_choice("shard", shard, known))


def why_not_samples(problem: Problem) -> str | None:
    """Say why samples cannot be computed on different ranks, if so."""
    if problem.batch_size is None:
        return "there are no independent samples: say along which axis with batch_dim="
    if problem.stochastic:
        return (
            "the function draws random numbers for the whole batch at once, and a part "
            "of the batch alone draws others"
        )
    if problem.coupled:
        return "the samples depend on each other"
    if problem.changes_state:
        return "the function writes buffers or attributes, from the whole batch"
    return None


def why_not_entries(problem: Problem) -> str | None:
    """Say why rows and columns cannot be computed on different ranks, if so."""
    if problem.options.layout in SPARSE:
        return f"layout={problem.options.layout!r} holds all rows and columns"
    if problem.part != "whole":
        return f"a {problem.title} is no matrix"
    return None


def choose_axis(problem: Problem, shard: Shard, samples: int, ranks: int) -> Axis:
    """Choose the axis.

    A forward pass of one sample counts as one, a JVP or VJP as two. By rows or columns
    every rank evaluates all samples.

    Args:
        problem: The whole, or of it some samples.
        shard: What was requested.
        samples: The number of samples.
        ranks: The number of ranks.

    Raises:
        ArgumentError: What was requested is not possible, or nothing is.
    """
    refusals: dict[Axis, str | None] = {
        "samples": why_not_samples(problem),
        "rows": why_not_entries(problem),
        "columns": why_not_entries(problem),
    }
    if shard != "auto":
        refusal = refusals[shard]
        if refusal is None:
            return shard
        others = [repr(axis) for axis, reason in refusals.items() if reason is None]
        instead = f" Pass shard={' or '.join(others)}." if others else ""
        raise ArgumentError(f"shard={shard!r} is not possible: {refusal}.{instead}")
    rows, columns = problem.row_count, problem.column_count

    def each(count: int) -> int:
        return -(-count // ranks)

    costs: dict[Axis, int] = {
        "samples": each(samples) * (1 + 2 * min(rows, columns)),
        "rows": samples * (1 + 2 * each(rows)),
        "columns": samples * (1 + 2 * each(columns)),
    }
    possible: list[Axis] = [axis for axis, reason in refusals.items() if reason is None]
    if not possible:
        reasons = "; ".join(f"{axis}: {reason}" for axis, reason in refusals.items())
        raise ArgumentError(f"Nothing can be split over the mesh: {reasons}.")
    return min(possible, key=lambda axis: costs[axis])
