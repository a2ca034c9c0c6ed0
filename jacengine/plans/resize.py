"""A choice for another number of samples: the same method, within the same budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from jacengine.errors import MemoryBudgetError, PlanMismatchError
from jacengine.execution.method import Method
from jacengine.interface import Composition
from jacengine.plans.restore import restore_verified
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import sliceable
from jacengine.selection.budget import format_bytes
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.select import Selection


def at_sample_count(problem: Problem, count: int) -> Problem:
    """Return the problem of another number of samples."""
    spec = replace(problem.call_spec, batch_size=count)
    share = count / max(1, problem.sample_count)
    forward_bytes = int(problem.forward_bytes * share)
    return replace(problem, call_spec=spec, forward_bytes=forward_bytes)


def unprepared(
    result: CandidateResult, compositions: Sequence[Composition]
) -> CandidateResult:
    """Return a candidate without what its strategy holds ready for one signature."""
    plain = {c.name: c.strategy for c in compositions}

    def emptied(method: Method) -> Method:
        strategy = plain.get(method.name, method.strategy)
        other = method.other and emptied(method.other)
        return replace(method, strategy=strategy, other=other)

    method = result.method and emptied(result.method)
    return replace(result, method=method, sweep=None)


def resize(
    problem: Problem,
    selection: Selection,
    compositions: Sequence[Composition],
    callee: Callee,
    leaves: Sequence[Any],
) -> tuple[Problem, Selection]:
    """Make a choice ready for another number of samples, and verify it there.

    Args:
        problem: What it was chosen for.
        selection: The choice.
        compositions: The strategies that it may name.
        callee: The function.
        leaves: Arguments with another number of samples.

    Returns:
        The problem, and the choice: the first of the ranked candidates that is right.

    Raises:
        MemoryBudgetError: None of those fits into the budget.
        PlanMismatchError: None of those is right.
    """
    count = problem.call_spec.count_samples(leaves) or 0
    other, budget = at_sample_count(problem, count), selection.budget
    fitting = list(_fitting(problem, other, selection, compositions))
    if not fitting:
        raise MemoryBudgetError(
            f"No method of this plan computes the {problem.title} of {count} samples "
            f"within {format_bytes(budget)}. Pass fewer samples at a time, or make a "
            "plan with a larger memory_budget."
        )
    for first in range(len(fitting)):
        candidates = tuple(fitting[first:])
        choice = replace(selection, candidates=candidates)
        restored = restore_verified(other, callee, leaves, choice, budget)
        if restored is not None:
            return other, restored
    raise PlanMismatchError(
        f"The plan was made for {problem.sample_count} samples, and none of its methods"
        f" computes the {problem.title} of {count} rightly. Make a plan for these "
        "arguments with jacengine.plan(...), or call jacengine.auto(...)."
    )


def _fitting(
    problem: Problem,
    other: Problem,
    selection: Selection,
    compositions: Sequence[Composition],
) -> Iterator[CandidateResult]:
    """Yield the ranked candidates as they fit into the budget at another size.

    What a method takes besides its result grows with the samples that share a pass, so
    where it would be too much they go through in slices.
    """
    for result in selection.ranked:
        found = unprepared(result, compositions)
        taken = result.peak_bytes or result.predicted_bytes
        if found.method is None:
            continue
        if taken is None:
            yield found
            continue
        together = found.method.slice_size or problem.sample_count
        each = max(0, taken - problem.result_bytes) / max(1, together)
        most = other.sample_count
        if each:
            most = int((selection.budget - other.result_bytes) / each)
        method, size = found.method, found.method.slice_size or other.sample_count
        if most < size:
            if most < 1 or not sliceable(other, method.sample_policy):
                continue
            method, size = method.in_slices(most), most
        peak = other.result_bytes + int(each * min(size, other.sample_count))
        if peak <= selection.budget:
            yield replace(
                found, method=method, predicted_bytes=peak, peak_bytes=None, times=()
            )
