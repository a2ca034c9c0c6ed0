"""A choice that was made elsewhere: verified, and made ready for this problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jacengine.execution.sweep import Sweep, prepare
from jacengine.problem.callee import Callee
from jacengine.problem.problem import Problem
from jacengine.selection.diagonal_reference import RECHECK_PASSES
from jacengine.selection.finite_differences import disagreement
from jacengine.selection.reference import Reference
from jacengine.selection.select import Selection


def restore_verified(
    problem: Problem,
    callee: Callee,
    leaves: Sequence[Any],
    saved: Selection,
    budget: int,
) -> Selection | None:
    """Verify a choice that was made elsewhere, by one projection.

    Returns:
        The choice, bound to this problem; `None` if it is not right here.
    """
    chosen = saved.ranked[0]
    if chosen.method is None or (chosen.predicted_bytes or 0) > budget:
        return None
    bound = problem.bind(callee, leaves)
    sides = chosen.method.sides
    if any(side.strategy.check(problem) is not None for side in sides):
        return None
    try:
        timed = saved.effort != "none"
        method = prepare(problem, bound, chosen.method, timed=timed)
        sweep = Sweep(problem, method)
        result = sweep.run(bound, checked=True)
        reference = Reference.of(problem, bound, passes=RECHECK_PASSES)
        if not reference.verify(problem, bound, method, result).right:
            return None
        doubt = saved.doubt  # which no file holds
        if not reference.certain or saved.effort == "thorough":
            doubt = disagreement(problem, bound, reference)
    except Exception:
        return None
    restored = replace(chosen, method=method, sweep=sweep)
    others = (
        result
        for result in saved.candidates
        if result is not chosen
        and (problem.pattern or result.method is None or not result.method.colored)
    )
    found = [
        replace(r, passes=None if r.method is None else r.method.passes(problem))
        for r in (restored, *others)
    ]
    return replace(
        saved,
        candidates=tuple(found),
        source="cache",
        doubt=doubt,
        reached=reference.reached,
    )
