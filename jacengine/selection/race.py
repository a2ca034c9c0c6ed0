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
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jacengine.execution.method import Method
from jacengine.execution.sweep import Progress, Sweep, compute
from jacengine.peak_memory import peak_memory
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result import Result
from jacengine.selection.candidate_result import CandidateResult, Outcome
from jacengine.selection.effort import NOISE, EffortLimits
from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.selection.variants import (
    chunk_variants,
    compiled_variants,
    slice_variants,
)
from jacengine.selection.verify import verify
from jacengine.task import Task
from jacengine.timing import format_seconds, seconds, time_interleaved

BRIEF_S = 0.1
"""Seconds of a whole Jacobian up to which every candidate is tried, whatever that
costs: the set-up at the first use of an operator can take longer than all runs do."""
ALIKE_FACTOR, ENOUGH = 4.0, 4
"""Candidates whose arithmetic is at most so many times that of another are tried in any
case, until so many run: arithmetic alone does not tell them apart."""
LARGE_BYTES, LARGE_ROUNDS = 2**25, 3
"""Bytes of a result from which so many rounds are run in any case. New memory pages
cost more than the computation then, so methods are compared by how long they take into
existing memory."""
SURPRISE = 2.0
"""Times its forecast from which a first run is repeated."""
AMPLE = 100
"""Sweeps keep their seeds from round to round where the budget is so many times as
much."""
SURE_ROUNDS, QUICK_S = 4, 0.02
"""Rounds that are run in any case where a whole Jacobian takes less than this."""
COMPILED_ROUNDS = 9
"""Rounds in any case if compiled candidates take part."""
COMPILE_PATIENCE_S = 20.0
"""Seconds of compiling after which no other method is compiled: some of a few hundred
operators take minutes."""
CONFIDENCE, FEWEST = 0.95, 3
"""Confidence with which a candidate must be slower than the leader to leave the race,
and the fewest rounds for such a statement."""


class _TooSlow(Exception):  # noqa: N818 - it stops a run, it reports no error
    """Raised between two tasks of a candidate that is too slow to win."""

    def __init__(self, expected_s: float) -> None:
        super().__init__()
        self.expected_s = expected_s


class Race:
    """Candidates that run, and those that are out.

    Attributes:
        running: The verified candidates.
        out: The others.
    """

    def __init__(
        self,
        problem: Problem,
        bound: BoundFunction,
        reference: Reference,
        limits: EffortLimits,
        clock: Callable[[], float],
        *,
        budget: int,
    ) -> None:
        """Prepare a race, in which `reference` is what results are compared with."""
        self.problem = problem
        self.bound = bound
        self.reference = reference
        self.running: list[CandidateResult] = []
        self.out: list[CandidateResult] = []
        self._limits = limits
        self._clock = clock
        self._budget = budget
        self._started = clock()
        self._device = problem.outputs[0].device
        self._cheapest = math.inf
        self._sweeps: dict[int, Sweep] = {}  # each holds its method, so ids are unique

    def reason_to_skip(self, predicted_cost: float) -> str | None:
        """Say why another candidate need not even be tried, if so."""
        if not self.running:
            return None
        if self._limits.rounds == 0:
            return "not tried: a right method was found"
        ratio = predicted_cost / self._cheapest if self._cheapest else 0.0
        few = len(self.running) < ENOUGH and ratio <= ALIKE_FACTOR
        if self._left_s() <= 0 and self._best_s() > BRIEF_S and not few:
            return "not tried: the time for the selection was spent"
        if ratio > self._limits.implausible_factor:
            return f"not tried: {ratio:.0f} x the arithmetic of another candidate"
        return None

    def enter(self, result: CandidateResult, predicted_cost: float) -> None:
        """Run an eligible candidate once and verify it, if it is worth it."""
        entered = self._entered(result)
        if entered.outcome == "ok":
            self.running.append(entered)
            self._cheapest = min(self._cheapest, predicted_cost)
        else:
            self.out.append(entered)

    def remove(self, result: CandidateResult, outcome: Outcome, reason: str) -> None:
        """Put a running candidate out."""
        self.running.remove(result)
        self.out.append(replace(result, outcome=outcome, reason=reason))

    def disqualify(self, strategy: str, reason: str) -> None:
        """Put a strategy out that broke its contract."""
        dropped = [r for r in (*self.running, *self.out) if r.strategy == strategy]
        self.running = [r for r in self.running if r.strategy != strategy]
        self.out = [r for r in self.out if r.strategy != strategy]
        self.out.append(replace(dropped[0], outcome="error", reason=reason))

    def run(self, *, compiled: bool = False) -> None:
        """Race those near the best, in rounds; measure what memory they take.

        Args:
            compiled: Whether the fastest take part compiled too.
        """
        if not self.running:
            return
        if self._limits.rounds > 0:
            self._enter_variants()
            self._run_rounds(0)
        if compiled:
            self._enter_compiled()
        if self._limits.rounds > 0:
            self._run_into_memory()
            for i in self._near(self._limits.peak_factor):
                if not self.running[i].compiled:
                    self.measure_peak(self.running[i])

    def measure_peak(self, result: CandidateResult) -> None:
        """Measure the peak memory of a running candidate."""
        with peak_memory(self._device) as peak:
            compute(self.problem, self.bound, _method(result))
        self.running[self.running.index(result)] = replace(
            result, peak_bytes=peak.bytes
        )

    def ranking(self, order: Sequence[str]) -> list[CandidateResult]:
        """Order the verified candidates; ties go to less memory, then a fixed order."""
        best = min(map(_cost_s, self.running), default=math.inf)

        def key(result: CandidateResult) -> tuple[float, bool, float, int, int]:
            taken = _cost_s(result)
            tied = taken <= best * (1 + NOISE)
            memory = result.peak_bytes or result.predicted_bytes or 0
            return (
                best if tied else taken,
                result.compiled,
                memory if tied else 0,
                order.index(result.strategy),
                -(result.chunk_size or 0),
            )

        return sorted(self.running, key=key)

    def _entered(self, result: CandidateResult) -> CandidateResult:
        if result.outcome != "ok":
            return result
        forecast = result.forecast_s or 0.0
        if forecast > self._limit_s(self._limits.skip_factor) and not result.compiled:
            reason = f"not run: forecast to take {format_seconds(forecast)}"
            return replace(result, outcome="skipped", reason=reason)
        verified = self._verified(result)
        if self._limits.rounds == 0:
            return replace(verified, time_s=None, first_s=None)
        return verified

    def _verified(self, result: CandidateResult) -> CandidateResult:
        """Run a candidate to the end, if it is fast enough, and check its values."""
        found: list[Result] = []
        try:
            sweep = self._sweep(_method(result))
            if result.compiled:
                sweep.run(self.bound)  # compiles
                result = replace(result, sweep=sweep)
            with self._stopping() as progress:
                taken = seconds(
                    lambda: found.append(sweep.run(self.bound, progress=progress)),
                    self._device,
                )
            verification = verify(
                self.problem, self.bound, sweep.method, self.reference, found.pop()
            )
        except _TooSlow as stopped:
            reason = "stopped: too slow to win"
            expected = stopped.expected_s
            return replace(result, outcome="skipped", reason=reason, time_s=expected)
        except Exception as error:
            outcome, reason = classify_error(error)
            return replace(result, outcome=outcome, reason=reason)
        timed = replace(result, time_s=taken, first_s=taken, error=verification.error)
        if verification.right:
            return self._repeated(timed)
        outcome = "wrong" if verification.finite else "nonfinite"
        return replace(timed, outcome=outcome, reason=verification.complaint)

    def _repeated(self, result: CandidateResult) -> CandidateResult:
        """Run a candidate again that took much longer than its forecast.

        A large result may have waited for memory pages that were never touched before.
        """
        forecast, taken = result.forecast_s, result.time_s
        if not forecast or not taken or taken < SURPRISE * forecast:
            return result
        if self._limits.rounds == 0 or taken < QUICK_S:
            return result
        again = seconds(self._run_of(result), self._device)
        return replace(result, time_s=min(taken, again))

    def _enter_variants(self) -> None:
        """Enter the leader once more, with other chunks and in slices of samples."""
        leader = min(self.running, key=_time_s)
        for variant in (
            *chunk_variants(self.problem, leader),
            *slice_variants(self.problem, self.bound, leader),
        ):
            if self._left_s() > 0:
                self.enter(variant, self._cheapest)

    def _enter_compiled(self) -> None:
        """Enter the fastest compiled, and run further rounds."""
        until = time.perf_counter() + COMPILE_PATIENCE_S
        ranked = sorted(self.running, key=_cost_s)
        entered = 0
        for variant in compiled_variants(self.problem, ranked, self._budget):
            if time.perf_counter() > until:
                patience = format_seconds(COMPILE_PATIENCE_S)
                reason = f"not tried: others took more than {patience} to compile"
                self.out.append(replace(variant, outcome="skipped", reason=reason))
                continue
            before = len(self.running)
            self.enter(variant, self._cheapest)
            entered += len(self.running) - before
        if entered:
            self._run_rounds(COMPILED_ROUNDS)

    def _run_rounds(self, min_rounds: int) -> None:
        """Run interleaved rounds of those near the best, until the leader is clear."""
        large = self.problem.result_bytes >= LARGE_BYTES
        early = self._limits.early_rounds
        early = max(LARGE_ROUNDS if large and early else early, min_rounds)
        known = {i: result.times for i, result in enumerate(self.running)}
        number = 0

        def participants(times: Mapping[int, Sequence[float]]) -> list[int]:
            nonlocal number
            for i, taken in times.items():
                self._record_times(i, (*known[i], *taken))
            number += 1
            if number <= early:  # a first run includes set-up, so later ones decide
                factor = self._limits.near_factor
                return [i for i in self._near(factor) if i in times]
            contenders = [i for i in self._contenders() if i in times]
            unsure = number <= SURE_ROUNDS and self._best_s() < QUICK_S
            if len(contenders) < 2 or (self._left_s() <= 0 and not unsure):
                return []
            return contenders

        timed = time_interleaved(
            {i: self._run_of(result) for i, result in enumerate(self.running)},
            self._device,
            rounds=max(self._limits.rounds, min_rounds),
            participants=participants,
        )
        for i, taken in timed.times.items():
            self._record_times(i, (*known[i], *taken))
        failed = [(self.running[i], error) for i, error in timed.failures.items()]
        for result, error in failed:
            self.remove(result, *classify_error(error))

    def _record_times(self, i: int, times: tuple[float, ...]) -> None:
        # The median, not the minimum: a large new result is cheap when the allocator
        # happens to have its pages, which is not what the next call will find.
        if times and times != self.running[i].times:
            median = statistics.median(times)
            self.running[i] = replace(self.running[i], time_s=median, times=times)

    def _run_into_memory(self) -> None:
        """Time those near the best into existing memory, if results are large."""
        problem, near = self.problem, self._near(self._limits.near_factor)
        graph = problem.options.create_graph
        if problem.result_bytes < LARGE_BYTES or len(near) < 2 or graph:
            return
        most = max(self.running[i].predicted_bytes or 0 for i in near)
        if most + problem.result_bytes > self._budget:
            return
        leader = min(near, key=lambda i: _time_s(self.running[i]))
        out = self._sweep(_method(self.running[leader])).run(self.bound).nested()
        runs = {i: self._run_of(self.running[i], out=out) for i in near}
        timed = time_interleaved(runs, self._device, rounds=LARGE_ROUNDS)
        for i, taken in timed.times.items():
            into_s = statistics.median(taken)
            self.running[i] = replace(self.running[i], into_s=into_s)

    def _best_s(self) -> float:
        return min(map(_time_s, self.running), default=math.inf)

    def _limit_s(self, factor: float) -> float:
        """Return so many times the best time, or what is brief in any case."""
        return max(factor * self._best_s(), self._limits.brief_s)

    def _near(self, factor: float) -> list[int]:
        limit = self._limit_s(factor)
        return [i for i, r in enumerate(self.running) if _time_s(r) <= limit]

    def _contenders(self) -> list[int]:
        """List those near the leader that are not slower with confidence."""
        near = self._near(self._limits.contender_factor)
        if not near:
            return near
        leader = min(near, key=lambda i: _time_s(self.running[i]))
        times = self.running[leader].times
        return [
            i for i in near if i == leader or not slower(self.running[i].times, times)
        ]

    def _left_s(self) -> float:
        """Return the seconds that may still be spent."""
        best = self._best_s()
        if best == math.inf:
            return best
        allowed = max(self._limits.min_s, self._limits.factor * best)
        return allowed - (self._clock() - self._started)

    def _run_of(self, result: CandidateResult, out: Any = None) -> Callable[[], object]:
        return functools.partial(self._sweep(_method(result)).run, self.bound, out=out)

    def _sweep(self, method: Method) -> Sweep:
        """Return what a plan would call; it is kept as a plan keeps it."""
        found = self._sweeps.get(id(method))
        if found is None:
            found = Sweep(self.problem, method)
            if AMPLE * found.kept_bytes <= self._budget:
                self._sweeps[id(method)] = found
        return found

    @contextmanager
    def _stopping(self) -> Generator[Progress]:
        begun = self._clock()
        limit = self._limit_s(self._limits.stop_factor)

        def progress(task: Task, done: float) -> None:
            del task
            taken = self._clock() - begun
            if done < 1 and taken > limit:
                raise _TooSlow(taken / done)

        yield progress


def slower(times: Sequence[float], leader: Sequence[float]) -> bool:
    """Tell whether times are above the leader's, with confidence.

    Rounds are paired, since the machine's speed drifts: a one-sided t-test of the mean
    logarithm of the ratios.
    """
    from scipy.special import stdtr  # noqa: PLC0415 - slow to import

    count = min(len(times), len(leader))
    if count < FEWEST:
        return False
    tick = 1e-9  # a clock may not have moved
    pairs = zip(times[-count:], leader[-count:], strict=True)
    ratios = [math.log(max(a, tick) / max(b, tick)) for a, b in pairs]
    mean, spread = statistics.mean(ratios), statistics.stdev(ratios)
    if spread == 0:
        return mean > 0
    statistic = mean / (spread / math.sqrt(count))
    return float(stdtr(count - 1, statistic)) > CONFIDENCE


def _time_s(result: CandidateResult) -> float:
    return result.time_s or 0.0


def _cost_s(result: CandidateResult) -> float:
    """Return what a call takes; into existing memory, if that was measured.

    Pages of a large new result cost every method the same, and now and then many times
    as much as the computation.
    """
    return _time_s(result) if result.into_s is None else result.into_s


def _method(result: CandidateResult) -> Method:
    assert result.method is not None
    return result.method
