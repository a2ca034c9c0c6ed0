"""The first run of a candidate: stopped if it is too slow to win, else verified."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from jacengine._progress import jacobian_progress
from jacengine.execution.direction_loop import Progress
from jacengine.execution.sweep import Sweep
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.selection.candidate_result import (
    CandidateResult,
    Outcome,
    classify_error,
)
from jacengine.selection.reference import Reference
from jacengine.task import Task
from jacengine.timing import seconds


class TooSlow(Exception):  # noqa: N818 - it stops a run, it reports no error
    """Raised between two tasks of a candidate that is too slow to win."""

    def __init__(self, expected_s: float) -> None:
        """Keep how long all of it would have taken."""
        super().__init__()
        self.expected_s = expected_s


def first_run(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    result: CandidateResult,
    make_sweep: Callable[[], Sweep],
    *,
    limit_s: float,
    clock: Callable[[], float],
) -> CandidateResult:
    """Run a candidate to the end, unless it exceeds the limit, and check its values.

    `make_sweep` makes its method ready, and may raise as the run itself may.
    """
    try:
        return verified_run(
            problem, bound, reference, result, make_sweep, limit_s=limit_s, clock=clock
        )[0]
    except TooSlow as stopped:
        reason, expected = "stopped: too slow to win", stopped.expected_s
        return replace(result, outcome="skipped", reason=reason, time_s=expected)
    except Exception as error:
        outcome, reason = classify_error(error)
        return replace(result, outcome=outcome, reason=reason)


def verified_run(
    problem: Problem,
    bound: BoundFunction,
    reference: Reference,
    result: CandidateResult,
    make_sweep: Callable[[], Sweep],
    *,
    limit_s: float,
    clock: Callable[[], float] = time.perf_counter,
    checked: bool = False,
) -> tuple[CandidateResult, Result]:
    """Run a candidate and check its values.

    With `checked`, the shapes of products are compared with the contract.

    Returns:
        What became of it, right or wrong, and what it computed.

    Raises:
        TooSlow: It exceeds the limit.
        Exception: What making it ready raises, or the run.
    """
    computed: list[Result] = []
    sweep = make_sweep()
    if result.compiled:
        sweep.run(bound)  # compiles
        result = replace(result, sweep=sweep)
    heard = jacobian_progress()
    progress = _limited(limit_s, clock, heard)
    try:
        taken = seconds(
            lambda: computed.append(
                sweep.run(bound, progress=progress, checked=checked)
            ),
            problem.outputs[0].device,
        )
    finally:
        if heard is not None:
            heard.end()
    verification = reference.verify(problem, bound, sweep.method, computed[0])
    timed = replace(result, time_s=taken, first_s=taken, error=verification.error)
    if not verification.right:
        outcome: Outcome = "wrong" if verification.finite else "nonfinite"
        timed = replace(timed, outcome=outcome, reason=verification.complaint)
    return timed, computed[0]


def _limited(
    limit_s: float, clock: Callable[[], float], heard: Progress | None
) -> Progress:
    """Stop a run that begins now after so many seconds, unless it is done."""
    begun = clock()

    def progress(task: Task, done: float) -> None:
        if heard is not None:
            heard(task, done)
        taken = clock() - begun
        if done < 1 and taken > limit_s:
            raise TooSlow(taken / done)

    return progress
