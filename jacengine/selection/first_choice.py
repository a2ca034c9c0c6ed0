"""The first choice: the most promising methods, tried at the price of about one call.

Whoever needs one Jacobian gains nothing from a race. So the first call runs candidates
in the order of the cost model, each once, and verifies them, while all of that takes
no longer than the best of them, or a tenth of a second. What the best one has computed
is the answer. A race follows when calls have taken as long as it will.

Source: the ski-rental rule: A. Karlin, M. Manasse, L. Rudolph, D. Sleator, "Competitive
snoopy caching", 1988, https://doi.org/10.1007/BF01762111 .
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, prepare
from jacengine.interface import Composition
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.selection.candidate_result import CandidateResult, classify_error
from jacengine.selection.candidates import by_composition, candidates, predicted_cost
from jacengine.selection.eligibility import (
    check_eligibility,
    in_chunks,
    without_methods,
)
from jacengine.selection.finite_differences import disagreement
from jacengine.selection.first_run import TooSlow, verified_run
from jacengine.selection.memory_bound import memory_bound, negligible_memory
from jacengine.selection.ranking import ranking
from jacengine.selection.reference import Reference
from jacengine.selection.runnable import first_that_runs
from jacengine.selection.select import Selection
from jacengine.selection.two_sided import two_sided_candidate

ALLOWED_S = 0.1
"""Seconds that trying further candidates may take in any case."""
PLAUSIBLE = 2.0
"""Times the predicted cost of the cheapest candidate up to which another is tried."""
STOP_FACTOR = 1.5
"""A candidate is stopped that takes so many times as long as the best."""
LATER = "not tried yet: a race tries it if calls go on"
"""What is said of candidates that wait for a race."""


def choose_first(
    problem: Problem,
    bound: BoundFunction,
    compositions: Sequence[Composition],
    *,
    budget: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Selection, Result | None]:
    """Choose the best of the candidates that one call pays for.

    Returns:
        The choice, which is not raced, and the Jacobian, as the fastest computed it.
    """
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        warnings.simplefilter("ignore")  # of candidates that will not be chosen
        started = clock()
        reference = Reference.of(problem, bound, budget=budget)
        left = max(0, budget - reference.held_bytes)
        trial = _Trial(problem, bound, reference, left, clock)
        pair = two_sided_candidate(
            problem, bound, compositions, reference, left, timed=False
        )
        if pair is not None and pair.method is not None:
            trial.enter(pair, pair.method)
        met: set[str] = set()
        for methods in by_composition(candidates(problem, compositions)):
            met.add(methods[0].name)
            trial.consider(methods)
        trial.out += without_methods(problem, compositions, met)
        doubt = None
        if not reference.certain:
            doubt = disagreement(problem, bound, reference)
        ranked = ranking(trial.running, [c.name for c in compositions])
        found = (*ranked, *trial.out)
        cost_s = clock() - started
        selection = Selection(
            found,
            cost_s,
            budget,
            "quick",
            doubt=doubt,
            raced=False,
            reached=reference.reached,
        )
        return selection, None if trial.best is None else trial.best[1]


@dataclass
class _Trial:
    """Candidates that are tried one after the other, once each."""

    problem: Problem
    bound: BoundFunction
    reference: Reference
    budget: int
    clock: Callable[[], float]
    running: list[CandidateResult] = field(default_factory=list[CandidateResult])
    out: list[CandidateResult] = field(default_factory=list[CandidateResult])
    best: tuple[CandidateResult, Result] | None = None

    def __post_init__(self) -> None:
        """Start."""
        self._started = self.clock()
        self._cheapest = math.inf

    def consider(self, methods: Sequence[Method]) -> None:
        """Try a candidate under each of its sample policies, or let it wait."""
        cost = predicted_cost(self.problem, methods[0])
        if self.best is not None and not self._affords(methods[0], cost):
            self.out.append(CandidateResult(methods[0].name, "skipped", LATER))
            return
        tried = self._try(methods)
        if tried.outcome == "ok":
            self.running.append(tried)
            self._cheapest = min(self._cheapest, cost)
        else:
            self.out.append(tried)

    def enter(self, result: CandidateResult, method: Method) -> None:
        """Run an eligible candidate and verify it."""
        try:
            tried = self._verified(result, method)
        except _Wrong as wrong:
            self.out.append(wrong.tried)
        except Exception as error:
            self.out.append(CandidateResult(method.name, *classify_error(error)))
        else:
            self.running.append(tried)
            self._cheapest = predicted_cost(self.problem, method)

    @property
    def _best_s(self) -> float:
        return math.inf if self.best is None else self.best[0].time_s or 0.0

    def _affords(self, method: Method, cost: float) -> bool:
        """Tell whether to try another candidate costs no more than it may."""
        if cost > PLAUSIBLE * self._cheapest or method.capabilities.captures:
            return False
        if negligible_memory(self.problem, method, self.budget) is None:
            return False
        # The first right one answers the call; the others are what is spent.
        spent = self.clock() - self._started - (self.running[0].time_s or 0.0)
        expected = self._best_s * cost / max(1.0, self._cheapest)
        return spent + expected <= max(ALLOWED_S, self._best_s)

    def _try(self, methods: Sequence[Method]) -> CandidateResult:
        """Run a candidate and verify it; measure its memory first, if that matters."""
        problem, name = self.problem, methods[0].name
        refusal = methods[0].strategy.check(problem)
        if refusal is not None:
            return CandidateResult(name, "unsupported", refusal.reason)
        known: CandidateResult | None = None
        if negligible_memory(problem, methods[0], self.budget) is None:
            known = check_eligibility(
                problem, self.bound, methods, self.reference, self.budget, timed=False
            )
            if known.outcome != "ok" or known.method is None:
                return known
            methods = [known.method]

        def run(method: Method) -> CandidateResult:
            if known is None:
                ready = prepare(problem, self.bound, method, timed=False)
                return self._verified(_at_once(problem, ready), ready)
            return self._verified(replace(known, method=method), method)

        outcome = first_that_runs(problem, methods, run)
        if not isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, _Wrong):
            return outcome.tried
        if isinstance(outcome, TooSlow):
            return CandidateResult(name, "skipped", "stopped: too slow to win")
        return CandidateResult(name, *classify_error(outcome))

    def _verified(self, result: CandidateResult, method: Method) -> CandidateResult:
        """Run a method that fits, verify it, and keep what the best one computes."""
        tried, computed = verified_run(
            self.problem,
            self.bound,
            self.reference,
            result,
            lambda: Sweep(self.problem, result.method or method),
            limit_s=STOP_FACTOR * self._best_s,
            clock=self.clock,
            checked=True,
        )
        if tried.outcome != "ok":
            raise _Wrong(tried)
        if (tried.time_s or 0.0) < self._best_s:
            self.best = tried, computed
        return tried


class _Wrong(Exception):  # noqa: N818 - it carries what was found
    """Raised where a result is not that of plain autograd."""

    def __init__(self, tried: CandidateResult) -> None:
        super().__init__()
        self.tried = tried


def _at_once(problem: Problem, method: Method) -> CandidateResult:
    """Describe a method whose memory is negligible: it takes all directions at once."""
    directions = max(1, method.directions(problem))
    most = min(directions, method.capabilities.max_directions or directions)
    return in_chunks(problem, method, memory_bound(problem), most, most)
