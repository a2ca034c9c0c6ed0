"""Who takes part in a case: ready to run, or with the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from jacengine.bench.baselines import Baseline
from jacengine.bench.workload import DerivativeSpec as Question
from jacengine.bench.workload import Workload
from jacengine.interface import Strategy
from jacengine.plans.plan import Plan
from jacengine.plans.planning import compiled_plan
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.problem.signature import Signature
from jacengine.report.case import COMPILED, Row
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.reference import Reference
from jacengine.selection.select import Selection
from jacengine.sweep.candidate import Chosen, Contender, Named, TooSlow
from jacengine.sweep.candidate_registry import Roster
from jacengine.sweep.library import Library
from jacengine.sweep.messages import Avoid, Tell


@dataclass(frozen=True)
class Subject:
    """What is computed in a case.

    Attributes:
        workload: Whose.
        size: At which size.
        question: The same, built.
        problem: The same, examined.
        bound: The function at the question's arguments.
        reference: What is right.
    """

    workload: Workload
    size: int
    question: Question
    problem: Problem
    bound: BoundFunction
    reference: Reference


@dataclass(frozen=True)
class Lineup:
    """The contenders of a case.

    Attributes:
        subject: What is computed.
        roster: Who is to take part.
        selection: What `auto` found out.
        tell: Told who is prepared next.
        avoid: Contenders that must not run again.
    """

    subject: Subject
    roster: Roster
    selection: Selection
    tell: Tell
    avoid: Avoid

    def contenders(self) -> Iterator[Contender | Row]:
        """Yield one after the other, `auto` first, the libraries last."""
        if self.selection.ranked:
            yield self._chosen()
        for strategy in self.roster.strategies:
            self.tell(strategy.name)
            yield self._named(strategy)
        if self.roster.compiled and self.selection.ranked:
            self.tell(COMPILED)
            yield self._compiled()
        for baseline in self.roster.baselines:
            self.tell(baseline.name)
            yield self._library(baseline)

    def _chosen(self) -> Chosen:
        return Chosen(self._plan(), self.subject.question.args)

    def _plan(self) -> Plan:
        question, problem = self.subject.question, self.subject.problem
        signature = Signature.of(
            question.fn, question.args, {}, problem.call_spec.names
        )
        return Plan(problem, self.selection, signature, self.roster.strategies)

    def _compiled(self) -> Contender | Row:
        """Compile what `auto` chose; say why not, if nothing compiled is faster."""
        args = self.subject.question.args
        plan = compiled_plan(self._plan(), args, {})
        if plan.chosen.compiled:
            return Chosen(plan, args, kind="compiled")
        tried = [record for record in plan.selection.records if record.compiled]
        right = any(record.outcome == "ok" for record in tried)
        why = "; ".join(dict.fromkeys(r.reason for r in tried if r.reason))
        if right or not why:
            return Row(COMPILED, "skipped", "it is not faster", kind="compiled")
        return Row(COMPILED, "unsupported", why, kind="compiled")

    def _named(self, strategy: Strategy) -> Contender | Row:
        record = self._qualified(strategy)
        if record.method is None or record.outcome not in {"ok", "skipped"}:
            return Row.of(record)
        return Named(self.subject.problem, self.subject.bound, record)

    def _qualified(self, strategy: Strategy) -> CandidateResult:
        """Return a strategy's best record; one that was not tried is tried now."""
        found = [r for r in self.selection.records if r.strategy == strategy.name]
        record = min(found, key=lambda r: (r.outcome != "ok", r.time_s or math.inf))
        if record.outcome != "skipped" or record.method is not None:
            return record
        subject, budget = self.subject, self.selection.budget
        return check_eligibility(
            subject.problem,
            subject.bound,
            strategy,
            subject.reference,
            budget,
            timed=True,
        )

    def _library(self, baseline: Baseline) -> Contender | Row:
        subject, name = self.subject, baseline.name
        if name in self.avoid:
            return _row(name, *self.avoid[name])
        absent = baseline.missing()
        if absent is not None:
            return _row(name, "skipped", absent)
        workload, size, question = subject.workload, subject.size, subject.question
        try:
            refusal = baseline.check(workload, question)
            if refusal is not None:
                return _row(name, "unsupported", refusal.reason)
            return Library(baseline, workload, size, question, subject.problem)
        except TooSlow as slow:
            return _row(name, "skipped", slow.reason)
        except Exception as error:
            return _row(name, "error", f"{type(error).__name__}: {error}")


def _row(name: str, outcome: str, notes: str) -> Row:
    return Row(name, outcome, notes, kind="library")
