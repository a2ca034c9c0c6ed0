"""One case: every contender verified, timed in turns with the others, and weighed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from jacengine.bench.workload import Question, Workload
from jacengine.errors import JacengineError
from jacengine.interface import Strategy
from jacengine.measure import warm_up
from jacengine.plans.plan import Plan
from jacengine.problems.examine import examine
from jacengine.problems.problem import Options, Problem
from jacengine.problems.signature import Signature
from jacengine.report.case import Case, Row
from jacengine.selection.budget import format_bytes, to_bytes
from jacengine.selection.qualify import qualify
from jacengine.selection.record import Record
from jacengine.selection.select import Selection, select
from jacengine.selection.truth import Truth
from jacengine.sweep.contender import Chosen, Contender, Named, TooSlow
from jacengine.sweep.disturbance import LOUD, Disturbance
from jacengine.sweep.entry import Entry
from jacengine.sweep.library import Library
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.messages import Avoid
from jacengine.sweep.roster import Roster
from jacengine.sweep.rounds import interleaved, loose
from jacengine.sweep.trial import Settings, Trial

Tell = Callable[[str], None]
"""Told who runs next, so that somebody else knows whom a crash is the fault of."""


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
            return _Measurement(trial, workload, settings, tell, avoid or {}).fill(case)
        except JacengineError as error:
            return replace(case, failure=str(error).partition("\n")[0])
        except Exception as error:
            return replace(case, failure=f"{type(error).__name__}: {error}")


class _Measurement:
    """The steps of one case."""

    def __init__(
        self,
        trial: Trial,
        workload: Workload,
        settings: Settings,
        tell: Tell,
        avoid: Avoid,
    ) -> None:
        self._trial = trial
        self._workload = workload
        self._settings = settings
        self._tell = tell
        self._avoid = avoid
        self._limits = LIMITS[settings.effort]
        self._roster = Roster.of(settings)
        self._question = _question(trial, workload)
        self._problem = _examined(self._question)
        self._device = self._problem.outputs[0].device
        self._call = self._problem.bind(self._question.args, {})
        self._truth = Truth.of(self._problem, self._call)

    def fill(self, case: Case) -> Case:
        """Measure, and return the case with its rows."""
        problem, settings = self._problem, self._settings
        case = replace(
            case,
            outputs=problem.row_count,
            inputs=problem.column_count,
            samples=problem.batch_size,
            result_bytes=problem.result_bytes,
            dtype=str(problem.outputs[0].dtype).removeprefix("torch."),
        )
        budget = to_bytes(settings.memory_budget, self._device)
        if settings.memory_budget is not None:
            case = replace(case, budget_bytes=budget)
        if problem.result_bytes > budget:
            needed, allowed = format_bytes(problem.result_bytes), format_bytes(budget)
            return replace(
                case, failure=f"the Jacobian itself has {needed}, of {allowed}"
            )
        warm_up()
        disturbance = Disturbance()
        selection = select(
            problem, self._call, self._roster.strategies, budget=budget, effort="quick"
        )
        rows = self._timed(selection, budget)
        nearest = min((r for r in rows if r.times), key=_time, default=None)
        return replace(
            case,
            rows=tuple(rows),
            selection_s=selection.cost_s,
            unstable=disturbance.share() > LOUD
            or (nearest is not None and loose(nearest.times)),
        )

    def _timed(self, selection: Selection, budget: int) -> list[Row]:
        """Verify everybody, then let those near the best take turns."""
        entries: list[Entry] = []
        rows: list[Row] = []
        best_s = math.inf
        for found in self._contenders(selection, budget):
            if isinstance(found, Row):
                rows.append(found)
                continue
            entry = Entry(found, self._device)
            entries.append(entry)
            entry.verify(self._truth, self._limits.first_run_s(best_s))
            if entry.right and entry.best_s <= self._limits.least_s:
                entry.again()
            if entry.right:
                best_s = min(best_s, entry.best_s)
        near = max(self._limits.near * best_s, self._limits.brief_s)
        racing = {
            str(place): entry
            for place, entry in enumerate(entries)
            if entry.right and (entry.best_s <= near or entry.row.kind == "auto")
        }
        self._tell("rounds")
        times = interleaved(
            {place: entry.best_s for place, entry in racing.items()},
            lambda place: racing[place].time(),
            self._limits,
            self._settings.seed,
        )
        for place, entry in racing.items():
            entry.keep(times[place])
        for entry in entries:
            self._tell(entry.row.strategy)
            entry.weigh(self._limits)
        return [*(entry.row for entry in entries), *rows]

    def _contenders(
        self, selection: Selection, budget: int
    ) -> Iterator[Contender | Row]:
        """Yield who runs, ready to run, or what is to be said of those who do not."""
        if selection.ranked:
            yield self._chosen(selection)
        for strategy in self._roster.strategies:
            record = self._qualified(strategy, selection, budget)
            yield (
                Row.of(record)
                if record.method is None or record.outcome not in {"ok", "skipped"}
                else Named(self._problem, self._call, record)
            )
        for baseline in self._roster.baselines:
            self._tell(baseline.name)
            if baseline.name in self._avoid:
                yield _row(baseline.name, *self._avoid[baseline.name])
                continue
            absent = baseline.missing()
            if absent is not None:
                yield _row(baseline.name, "skipped", absent)
                continue
            question, size = self._question, self._trial.size
            refusal = baseline.check(self._workload, size, question)
            if refusal is not None:
                yield _row(baseline.name, "unsupported", refusal.reason)
                continue
            try:
                yield Library(baseline, self._workload, size, question, self._problem)
            except TooSlow as slow:
                yield _row(baseline.name, "skipped", slow.reason)
            except Exception as error:
                yield _row(baseline.name, "error", f"{type(error).__name__}: {error}")

    def _chosen(self, selection: Selection) -> Chosen:
        question, problem = self._question, self._problem
        signature = Signature.of(question.fn, question.args, {}, problem.layout.names)
        plan = Plan(problem, selection, signature, self._roster.strategies)
        return Chosen(plan, question.args)

    def _qualified(
        self, strategy: Strategy, selection: Selection, budget: int
    ) -> Record:
        """Return a strategy's best record; one that was not tried is tried now."""
        self._tell(strategy.name)
        found = [r for r in selection.records if r.strategy == strategy.name]
        record = min(found, key=lambda r: (r.outcome != "ok", r.time_s or math.inf))
        if record.outcome != "skipped" or record.method is not None:
            return record
        return qualify(
            self._problem, self._call, strategy, self._truth, budget, timed=True
        )


def _question(trial: Trial, workload: Workload) -> Question:
    question = workload.build(trial.size)
    if not trial.dtype and trial.device == "cpu":
        return question
    dtype: torch.dtype | None = getattr(torch, trial.dtype) if trial.dtype else None
    return question.to(device=torch.device(trial.device), dtype=dtype)


def _examined(question: Question) -> Problem:
    options = Options(wrt=question.wrt, batch_dim=question.batch_dim)
    return examine(question.fn, question.args, {}, options)


def _row(name: str, outcome: str, notes: str) -> Row:
    return Row(name, outcome, notes, kind="library")


def _time(row: Row) -> float:
    return math.inf if row.time_s is None else row.time_s
