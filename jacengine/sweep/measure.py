"""One case, from its name to its figures."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch

from jacengine.bench.workload import DerivativeSpec as Question
from jacengine.bench.workload import Workload
from jacengine.errors import JacengineError
from jacengine.problem.analyze import analyze
from jacengine.problem.problem import Options
from jacengine.report.case import Case, Row
from jacengine.selection.budget import format_bytes, to_bytes
from jacengine.selection.reference import Reference
from jacengine.selection.select import select
from jacengine.sweep.candidate_registry import Roster
from jacengine.sweep.candidates import Lineup, Subject
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.messages import Avoid, Tell
from jacengine.sweep.rounds import loose
from jacengine.sweep.run_case import contest
from jacengine.sweep.system_load import LOUD, Disturbance
from jacengine.timing import warm_up


def measure(
    trial: Trial,
    workload: Workload,
    settings: Settings,
    *,
    tell: Tell = lambda _: None,
    avoid: Avoid | None = None,
) -> Case:
    """Measure one case.

    Args:
        trial: Which.
        workload: Its workload.
        settings: How.
        tell: Told who runs next.
        avoid: Contenders that must not run again.

    Returns:
        The case; what went wrong with all of it is its `failure`.
    """
    case = Case(
        trial.name,
        workload.use,
        workload=workload.name,
        size=trial.size,
        parameter=workload.parameter,
        origin=workload.origin,
        device=trial.device,
        threads=torch.get_num_threads(),
    )
    with warnings.catch_warnings():
        # Of methods that nobody chose: a slow batching rule, a resized buffer.
        warnings.simplefilter("ignore")
        try:
            tell("auto")
            subject = _subject(trial, workload)
            return _measured(case, subject, settings, tell, avoid or {})
        except JacengineError as error:
            return replace(case, failure=str(error).partition("\n")[0])
        except Exception as error:
            return replace(case, failure=f"{type(error).__name__}: {error}")


def _subject(trial: Trial, workload: Workload) -> Subject:
    """Build and examine what is asked for, and find out what is right."""
    question = _question(trial, workload)
    options = Options(
        wrt=question.wrt, batch_dim=question.batch_dim, quantity=question.quantity
    )
    problem = analyze(question.fn, question.args, {}, options)
    call = problem.bind(question.args, {})
    reference = Reference.of(problem, call, passes=None)
    return Subject(workload, trial.size, question, problem, call, reference)


def _question(trial: Trial, workload: Workload) -> Question:
    question = workload.build(trial.size)
    if not trial.dtype and trial.device == "cpu":
        return question
    dtype: torch.dtype | None = getattr(torch, trial.dtype) if trial.dtype else None
    return question.to(device=torch.device(trial.device), dtype=dtype)


def _measured(
    case: Case, subject: Subject, settings: Settings, tell: Tell, avoid: Avoid
) -> Case:
    """Return the case with what is known of its problem, and with its rows."""
    problem = subject.problem
    device = problem.outputs[0].device
    budget = to_bytes(settings.memory_budget, device)
    case = replace(
        case,
        outputs=problem.output_count,
        inputs=problem.column_count,
        samples=problem.batch_size,
        result_bytes=problem.result_bytes,
        dtype=str(problem.outputs[0].dtype).removeprefix("torch."),
        budget_bytes=None if settings.memory_budget is None else budget,
        quantity=problem.options.quantity,
    )
    if problem.result_bytes > budget:
        needed, allowed = format_bytes(problem.result_bytes), format_bytes(budget)
        failure = f"the {problem.title} itself has {needed}, of {allowed}"
        return replace(case, failure=failure)
    roster = Roster.of(settings, problem.options.quantity)
    warm_up()
    disturbance = Disturbance()
    selection = select(
        problem, subject.bound, roster.strategies, budget=budget, effort="quick"
    )
    rows = contest(
        Lineup(subject, roster, selection, tell, avoid).contenders(),
        subject.reference,
        device,
        LIMITS[settings.effort],
        seed=settings.seed,
        tell=tell,
    )
    return replace(
        case,
        rows=tuple(rows),
        selection_s=selection.cost_s,
        unstable=disturbance.share() > LOUD or _loose(rows),
    )


def _loose(rows: Sequence[Row]) -> bool:
    """Whether the times of the fastest are spread too widely."""
    raced = [row for row in rows if row.times and row.outcome == "ok"]
    fastest = min(raced, key=lambda row: row.time_s or math.inf, default=None)
    return fastest is not None and loose(fastest.times)
