"""The race: candidates verified by their first run, then timed in interleaved rounds.

Candidates come in the order of a cost model. One that takes several times the best is
stopped between two of its tasks. Those near the best race until the leader is clear or
the effort is spent. Within noise the one with less memory wins, then the registered
order, so that the same call picks the same winner.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, compute
from jacengine.peak_memory import peak_memory
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.selection.candidate_result import (
    CandidateResult,
    Outcome,
    classify_error,
)
from jacengine.selection.effort import EffortLimits
from jacengine.selection.first_run import first_run
from jacengine.selection.ranking import cost_of, not_slower, time_of
from jacengine.selection.reference import Reference
from jacengine.selection.variants import (
    chunk_variants,
    compiled_variants,
    slice_variants,
)
from jacengine.timing import format_seconds, seconds, time_interleaved

BRIEF_S = 0.1
"""Seconds of a whole Jacobian up to which every candidate is tried, whatever that
costs: the set-up at the first use of an operator can take longer than all runs do."""
ALIKE_FACTOR, ENOUGH = 4.0, 4
"""Candidates whose arithmetic is at most so many times that of another are tried in any
case, until so many run: arithmetic alone does not tell them apart."""
WORTH = 3.0
"""What captures the function is tried in any case where that takes less than so many
calls of the best candidate."""
LARGE_BYTES, LARGE_ROUNDS = 2**25, 3
"""Bytes of a result from which so many rounds are run in any case. New memory pages
cost more than the computation then, so methods are compared by how long they take into
existing memory."""
SURPRISE = 2.0
"""Times its forecast from which a first run is repeated: a large result may have waited
for memory pages that were never touched before."""
AMPLE = 100
"""Sweeps keep their seeds from round to round where the budget is so many times as
much."""
SURE_ROUNDS, QUICK_S = 4, 0.02
"""Rounds that are run in any case where a whole Jacobian takes less than this."""
CONTENDER_FACTOR = 1.5
"""A candidate races on while it is within this factor of the leader."""
COMPILED_ROUNDS = 9
"""Rounds in any case if compiled candidates take part."""
COMPILE_PATIENCE_S = 20.0
"""Seconds of compiling after which no other method is compiled: some of a few hundred
operators take minutes."""


@dataclass
class Race:
    """Candidates that run, and those that are out.

    Attributes:
        problem: What they compute.
        bound: The function at the arguments to try them on.
        reference: What their results are compared with.
        limits: What the race may cost.
        clock: Seconds, for that.
        budget: Bytes that a candidate may allocate.
        running: The verified candidates.
        out: The others.
    """

    problem: Problem
    bound: BoundFunction
    reference: Reference
    limits: EffortLimits
    clock: Callable[[], float]
    budget: int
    running: list[CandidateResult] = field(default_factory=list)
    out: list[CandidateResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start."""
        self._started = self.clock()
        self._device = self.problem.outputs[0].device
        self._cheapest = math.inf
        self._sweeps: dict[int, Sweep] = {}  # each holds its method, so ids are unique

    def reason_to_skip(
        self, predicted_cost: float, set_up_s: float = 0.0
    ) -> str | None:
        """Say why another candidate need not even be tried, if so.

        Args:
            predicted_cost: Of the candidate.
            set_up_s: Seconds that it takes before it can run at all.
        """
        if not self.running:
            return None
        if self.limits.rounds == 0:
            return "not tried: a right method was found"
        if 0 < set_up_s <= WORTH * self._best_s():
            return None
        ratio = predicted_cost / self._cheapest if self._cheapest else 0.0
        few = len(self.running) < ENOUGH and ratio <= ALIKE_FACTOR
        if self._left_s() <= 0 and self._best_s() > BRIEF_S and not few:
            return "not tried: the time for the selection was spent"
        if set_up_s > max(0.0, self._left_s()):
            return (
                f"not tried: to capture the function takes {format_seconds(set_up_s)}, "
                "more than is left for the selection"
            )
        if ratio > self.limits.implausible_factor:
            return f"not tried: {ratio:.0f} x the arithmetic of another candidate"
        return None

    def enter(self, result: CandidateResult, predicted_cost: float) -> None:
        """Run an eligible candidate once and verify it, if it is worth it."""
        entered = self._entered(result) if result.outcome == "ok" else result
        if entered.outcome == "ok":
            self.running.append(entered)
            self._cheapest = min(self._cheapest, predicted_cost)
        else:
            self.out.append(entered)

    def remove(self, result: CandidateResult, outcome: Outcome, reason: str) -> None:
        """Put a running candidate out."""
        self.running.remove(result)
        self.out.append(replace(result, outcome=outcome, reason=reason))

    def run(self, *, compiled: bool = False) -> None:
        """Race those near the best, in rounds; measure what memory they take."""
        if not self.running:
            return
        timed = self.limits.rounds > 0
        if timed:
            self._enter_variants()
            self._run_rounds(0)
            self._enter_left_out()
        if compiled:
            ranked = sorted(self.running, key=cost_of)
            skipped = [result for result in self.out if result.outcome == "skipped"]
            self.run_compiled(
                compiled_variants(self.problem, ranked, skipped, self.budget)
            )
        if timed:
            self._run_into_memory()
            for i in self._near(self.limits.peak_factor):
                if not self.running[i].compiled:
                    self.measure_peak(self.running[i])

    def measure_peak(self, result: CandidateResult) -> None:
        """Measure the peak memory of a running candidate, inside kernels too."""
        with peak_memory(self._device, in_kernels=True) as peak:
            compute(self.problem, self.bound, _method(result))
        measured = replace(result, peak_bytes=peak.bytes)
        self.running[self.running.index(result)] = measured

    def _entered(self, result: CandidateResult) -> CandidateResult:
        forecast, limits = result.forecast_s or 0.0, self.limits
        if forecast > self._limit_s(limits.skip_factor) and not result.compiled:
            reason = f"not run: forecast to take {format_seconds(forecast)}"
            return replace(result, outcome="skipped", reason=reason)
        entered = first_run(
            self.problem,
            self.bound,
            self.reference,
            result,
            lambda: result.sweep or self._sweep(_method(result)),
            limit_s=self._limit_s(limits.stop_factor),
            clock=self.clock,
        )
        if limits.rounds == 0:
            return replace(entered, time_s=None, first_s=None)
        taken = entered.time_s
        if entered.outcome != "ok" or not taken or not forecast:
            return entered
        if taken < max(QUICK_S, SURPRISE * forecast):
            return entered
        again = seconds(self._run_of(entered), self._device)
        return replace(entered, time_s=min(taken, again))

    def _enter_variants(self) -> None:
        """Enter the leader once more, with other chunks and in slices of samples."""
        leader = min(self.running, key=time_of)
        for variant in (
            *chunk_variants(self.problem, leader),
            *slice_variants(self.problem, self.bound, leader),
        ):
            if self._left_s() > 0:
                self.enter(variant, self._cheapest)

    def _enter_left_out(self) -> None:
        """Run those that were left out, by a time that no longer is too long.

        A disturbed machine has made the leader of that moment look faster, or them
        slower, than they are.
        """
        best = self._best_s()
        again = [
            result
            for result in self.out
            if result.outcome == "skipped"
            and result.method is not None
            and (result.time_s or result.forecast_s or math.inf) < best
        ]
        for result in again:
            self.out.remove(result)
            self.enter(replace(result, outcome="ok", reason=""), self._cheapest)
        if again:
            self._run_rounds(0)

    def run_compiled(self, variants: Iterable[CandidateResult]) -> None:
        """Enter compiled candidates, while it does not take too long; run rounds."""
        until = self.clock() + COMPILE_PATIENCE_S
        before = len(self.running)
        for variant in variants:
            if self.clock() > until:
                patience = format_seconds(COMPILE_PATIENCE_S)
                reason = f"not tried: others took more than {patience} to compile"
                self.out.append(replace(variant, outcome="skipped", reason=reason))
            else:
                self.enter(variant, self._cheapest)
        if len(self.running) > before:
            self._run_rounds(COMPILED_ROUNDS)

    def _run_rounds(self, min_rounds: int) -> None:
        """Run interleaved rounds of those near the best, until the leader is clear."""
        large = self.problem.result_bytes >= LARGE_BYTES
        early = self.limits.early_rounds
        early = max(LARGE_ROUNDS if large and early else early, min_rounds)
        known = {i: result.times for i, result in enumerate(self.running)}
        number = 0

        def record(further: Mapping[int, Sequence[float]]) -> None:
            # The median, not the minimum: a large new result is cheap when the
            # allocator happens to have its pages, which the next call will not find.
            for i, taken in further.items():
                times = (*known[i], *taken)
                if times and times != self.running[i].times:
                    median = statistics.median(times)
                    timed = replace(self.running[i], time_s=median, times=times)
                    self.running[i] = timed

        def participants(times: Mapping[int, Sequence[float]]) -> list[int]:
            nonlocal number
            record(times)
            number += 1
            if number <= early:  # a first run includes set-up, so later ones decide
                return [i for i in self._near(self.limits.near_factor) if i in times]
            near = {i: self.running[i] for i in self._near(CONTENDER_FACTOR)}
            contenders = [i for i in not_slower(near) if i in times]
            unsure = number <= SURE_ROUNDS and self._best_s() < QUICK_S
            if len(contenders) < 2 or (self._left_s() <= 0 and not unsure):
                return []
            return contenders

        timed = time_interleaved(
            {i: self._run_of(result) for i, result in enumerate(self.running)},
            self._device,
            rounds=max(self.limits.rounds, min_rounds),
            participants=participants,
        )
        record(timed.times)
        failed = [(self.running[i], error) for i, error in timed.failures.items()]
        for result, error in failed:
            self.remove(result, *classify_error(error))

    def _run_into_memory(self) -> None:
        """Time those near the best into existing memory, if results are large."""
        problem, near = self.problem, self._near(self.limits.near_factor)
        graph = problem.options.create_graph
        if problem.result_bytes < LARGE_BYTES or len(near) < 2 or graph:
            return
        most = max(self.running[i].predicted_bytes or 0 for i in near)
        if most + problem.result_bytes > self.budget:
            return
        leader = min((self.running[i] for i in near), key=time_of)
        out = self._sweep(_method(leader)).run(self.bound).nested()
        runs = {i: self._run_of(self.running[i], out=out) for i in near}
        timed = time_interleaved(runs, self._device, rounds=LARGE_ROUNDS)
        for i, taken in timed.times.items():
            into_s = statistics.median(taken)
            self.running[i] = replace(self.running[i], into_s=into_s)

    def _best_s(self) -> float:
        return min(map(time_of, self.running), default=math.inf)

    def _limit_s(self, factor: float) -> float:
        """Return so many times the best time, or what is brief in any case."""
        return max(factor * self._best_s(), self.limits.brief_s)

    def _near(self, factor: float) -> list[int]:
        limit = self._limit_s(factor)
        return [i for i, r in enumerate(self.running) if time_of(r) <= limit]

    def _left_s(self) -> float:
        """Return the seconds that may still be spent."""
        best = self._best_s()
        if best == math.inf:
            return best
        allowed = max(self.limits.min_s, self.limits.factor * best)
        return allowed - (self.clock() - self._started)

    def _run_of(self, result: CandidateResult, out: Any = None) -> Callable[[], object]:
        sweep = result.sweep or self._sweep(_method(result))
        return functools.partial(sweep.run, self.bound, out=out)

    def _sweep(self, method: Method) -> Sweep:
        """Return what a plan would call; it is kept as a plan keeps it."""
        found = self._sweeps.get(id(method))
        if found is None:
            found = Sweep(self.problem, method)
            if AMPLE * found.kept_bytes <= self.budget:
                self._sweeps[id(method)] = found
        return found


def _method(result: CandidateResult) -> Method:
    assert result.method is not None
    return result.method
