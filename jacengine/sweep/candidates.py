"""The candidates of a case: ready to run, or rows with the reason why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jacengine.api.strategies import known_strategies
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.errors import ArgumentError, nearest
from jacengine.interface import Composition
from jacengine.plans.plan import Plan
from jacengine.problem.quantity import PARTS, TITLES, Quantity
from jacengine.problem.signature import Signature
from jacengine.report.case import COMPILED, Row
from jacengine.selection.candidates import candidates
from jacengine.selection.eligibility import check_eligibility
from jacengine.selection.select import Selection, select
from jacengine.selection.variants import compiled_variants
from jacengine.sweep.candidate import (
    Candidate,
    TooSlowError,
    plan_candidate,
    strategy_candidate,
)
from jacengine.sweep.case_spec import CaseProblem, Crashes, Settings
from jacengine.sweep.library import library_candidate


def find_strategies(settings: Settings, quantity: Quantity) -> tuple[Composition, ...]:
    """Look up the strategies that settings select and that compute a quantity.

    Raises:
        ArgumentError: An excluded name is unknown, or no selected strategy computes the
            quantity.
    """
    registry = known_strategies()
    libraries = {baseline.name for baseline in BASELINES}
    known = {*libraries, *(name for q in PARTS for name in registry.names(q))}
    for name in settings.exclude:
        if name not in known:
            raise ArgumentError(
                f"There is no strategy or library {name!r} to exclude."
                f"{nearest(name, known)} 'jacengine strategies' lists them."
            )
    names = settings.strategies
    if names is not None:
        names = tuple(n for n in names if quantity in registry.get(n).quantities)
        if not names:
            raise ArgumentError(
                f"None of the selected strategies computes a {TITLES[quantity]}. "
                f"There are: {', '.join(registry.names(quantity))}."
            )
    exclude = [name for name in settings.exclude if name not in libraries]
    return tuple(registry.choose(names, exclude, quantity))


def find_libraries(settings: Settings, quantity: Quantity) -> tuple[Baseline, ...]:
    """Look up the other libraries that settings select and that compute a quantity."""
    return tuple(
        baseline
        for baseline in BASELINES
        if settings.peers
        and baseline.name not in settings.exclude
        and quantity in baseline.quantities
    )


@dataclass(frozen=True)
class Candidates:
    """The candidates of a case: strategies, which `auto` selects from, and libraries.

    Attributes:
        compiled: Whether the choice of `auto` is compiled too.
        announce: Called with the name of the candidate that is prepared next.
        crashes: Libraries that must not run again.
    """

    case: CaseProblem
    strategies: tuple[Composition, ...]
    libraries: tuple[Baseline, ...]
    selection: Selection
    compiled: bool
    announce: Callable[[str], None]
    crashes: Crashes

    def __iter__(self) -> Iterator[Candidate | Row]:
        """Prepare one candidate after the other, `auto` first, the libraries last."""
        if self.selection.ranked:
            yield plan_candidate(self._plan(self.selection), self.case.derivative.args)
        for strategy in self.strategies:
            self.announce(strategy.name)
            yield self._prepare_strategy(strategy)
        if self.compiled and self.selection.ranked:
            self.announce(COMPILED)
            yield self._compile()
        for baseline in self.libraries:
            self.announce(baseline.name)
            yield self._prepare_library(baseline)

    def _plan(self, selection: Selection) -> Plan:
        spec, problem = self.case.derivative, self.case.problem
        callee = self.case.bound.callee
        signature = Signature.of(callee, spec.args, {}, problem.call_spec.names)
        return Plan(problem, selection, signature, self.strategies, callee)

    def _compile(self) -> Candidate | Row:
        """Compile the choice of `auto`; give the reason if that is not faster."""
        case, budget = self.case, self.selection.budget
        ranked = self.selection.ranked
        skipped = [r for r in self.selection.candidates if r.outcome == "skipped"]
        variants = compiled_variants(case.problem, ranked, skipped, budget)
        names = {variant.strategy for variant in variants}
        strategies = [c for c in self.strategies if c.name in names]
        selection = select(
            case.problem,
            case.bound,
            strategies,
            budget=budget,
            effort="quick",
            compiled=True,
        )
        if selection.ranked and selection.ranked[0].compiled:
            plan = self._plan(selection)
            return plan_candidate(plan, case.derivative.args, kind="compiled")
        tried = [result for result in selection.candidates if result.compiled]
        correct = any(result.outcome == "ok" for result in tried)
        reason = "; ".join(dict.fromkeys(r.reason for r in tried if r.reason))
        if correct or not reason:
            return Row(COMPILED, "skipped", "it is not faster", kind="compiled")
        return Row(COMPILED, "unsupported", reason, kind="compiled")

    def _prepare_strategy(self, strategy: Composition) -> Candidate | Row:
        """Prepare a strategy's best method; one that was not tried is tried now."""
        found = [r for r in self.selection.candidates if r.strategy == strategy.name]
        best = min(found, key=lambda r: (r.outcome != "ok", r.time_s or math.inf))
        case, budget = self.case, self.selection.budget
        if best.outcome == "skipped" and best.method is None:
            methods = tuple(candidates(case.problem, [strategy]))
            best = check_eligibility(
                case.problem, case.bound, methods, case.reference, budget, timed=True
            )
        if best.method is None or best.outcome not in {"ok", "skipped"}:
            return Row.of(best)
        return strategy_candidate(case, best)

    def _prepare_library(self, baseline: Baseline) -> Candidate | Row:
        case, name = self.case, baseline.name
        try:
            if name in self.crashes:
                outcome, reason = self.crashes[name]
            elif absent := baseline.missing():
                outcome, reason = "skipped", absent
            elif refusal := baseline.check(case.workload, case.derivative):
                outcome, reason = "unsupported", refusal.reason
            else:
                return library_candidate(baseline, case)
        except TooSlowError as error:
            outcome, reason = "skipped", str(error)
        except Exception as error:
            outcome, reason = "error", f"{type(error).__name__}: {error}"
        return Row(name, outcome, reason, kind="library")
