"""The race: candidates verified by their first run, then timed in interleaved rounds.

Candidates come in the order of a cost model. One that takes several times the best is
stopped between two of its passes. Those near the best race until the leader is clear or
the effort is spent. Within noise the one with less memory wins, then the registered
order, so that the same call picks the same winner.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor

from jacengine.execution.method import Method
from jacengine.execution.sweep import Sweep, accumulate
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.problem import Problem
from jacengine.results.result_layout import nest
from jacengine.selection.candidate_result import CandidateResult
from jacengine.selection.chunk_variants import variants
from jacengine.selection.effort import CONTENDING, NOISE, EffortLimits
from jacengine.selection.outcomes import classify_error
from jacengine.selection.paired_test import slower
from jacengine.selection.reference import Reference
from jacengine.selection.verify import verify
from jacengine.timing import format_seconds, peak_memory, seconds

BRIEF = 0.1
"""Seconds of a whole Jacobian up to which every candidate is tried, whatever that
costs: what the first use of an operator sets up can take longer than all runs do."""
ALIKE, ENOUGH = 4.0, 4
"""Candidates whose arithmetic is at most so many times that of another are tried in any
case, until so many run: arithmetic alone does not tell them apart."""
LARGE, LARGE_ROUNDS = 2**25, 3
"""Bytes of a result from which so many rounds are run: every fresh one has other pages,
and those that nobody has touched before cost more than the computation. So methods are
told apart by how long they take into memory that is there."""
SURPRISE = 2.0
"""Times its forecast from which a first run is not believed."""
AMPLE = 100
"""Seeds are kept from round to round where the budget is so many times as much."""
SURE, QUICKLY = 4, 0.02
"""Rounds that are run in any case where a whole Jacobian takes less than this."""


class _Hopeless(Exception):  # noqa: N818 - it stops a run, it reports no error
    """Raised between two passes of a candidate that is too slow to win."""

    def __init__(self, expected_s: float) -> None:
        super().__init__()
        self.expected_s = expected_s


class Race:
    """Candidates that run, and those that are out."""

    def __init__(
        self,
        problem: Problem,
        bound: BoundFunction,
        reference: Reference,
        spending: EffortLimits,
        clock: Callable[[], float],
        *,
        budget: int,
    ) -> None:
        """Prepare a race, in which `truth` tells what is right."""
        self.problem = problem
        self.bound = bound
        self._spending = spending
        self._clock = clock
        self._budget = budget
        self._started = clock()
        self._device = problem.outputs[0].device
        self.reference = reference
        self._cheapest = float("inf")
        self._kernels: dict[int, Sweep] = {}  # each holds its method, so ids hold
        self.running: list[CandidateResult] = []
        self.out: list[CandidateResult] = []

    def reason_to_stop(self, expected_cost: float) -> str | None:
        """Say why another candidate need not even be tried, if so."""
        if not self.running:
            return None
        if self._spending.rounds == 0:
            return "not tried: a right method was found"
        ratio = expected_cost / self._cheapest if self._cheapest else 0.0
        few = len(self.running) < ENOUGH and ratio <= ALIKE
        if self._left() <= 0 and self._best() > BRIEF and not few:
            return "not tried: the time for the selection was spent"
        if ratio > self._spending.implausible:
            return f"not tried: {ratio:.0f} x the arithmetic of another candidate"
        return None

    def enter(self, record: CandidateResult, expected_cost: float) -> None:
        """Run a qualified candidate once and verify it, if it is worth it."""
        applied_fallbacks = self._entered(record)
        if applied_fallbacks.outcome == "ok":
            self.running.append(applied_fallbacks)
            self._cheapest = min(self._cheapest, expected_cost)
        else:
            self.out.append(applied_fallbacks)

    def disqualify(self, strategy: str, reason: str) -> None:
        """Put a strategy out that broke its contract."""
        dropped = [r for r in (*self.running, *self.out) if r.strategy == strategy]
        self.running = [r for r in self.running if r.strategy != strategy]
        self.out = [r for r in self.out if r.strategy != strategy]
        self.out.append(replace(dropped[0], outcome="error", reason=reason))

    def _entered(self, record: CandidateResult) -> CandidateResult:
        if record.outcome != "ok":
            return record
        forecast = record.forecast_s or 0.0
        if forecast > self._limit(self._spending.unpromising):
            reason = f"not run: forecast to take {format_seconds(forecast)}"
            return replace(record, outcome="skipped", reason=reason)
        verified = self._verify(record)
        if self._spending.rounds == 0:
            return replace(verified, time_s=None, first_s=None)
        return verified

    def run(self) -> None:
        """Race those near the best, in rounds; measure what memory they take."""
        self._enter_variants()
        for number in range(self._spending.rounds):
            # A first run pays for what it sets up, so others decide.
            large = self.problem.result_bytes >= LARGE and self._spending.early > 0
            early = number < (LARGE_ROUNDS if large else self._spending.early)
            near = self._contenders()
            if early:
                near = self._near(self._spending.near)
            elif len(near) < 2 or (self._left() <= 0 and not self._unsure(number)):
                break
            for i in near if number % 2 == 0 else near[::-1]:
                self.running[i] = self._again(self.running[i])
        if self._spending.rounds == 0:
            return
        self._write()
        for i in self._near(self._spending.weighed):
            self.measure_peak(self.running[i])

    def measure_peak(self, record: CandidateResult) -> None:
        """Measure the peak memory of one that is running."""
        with peak_memory(self._device) as peak:
            accumulate(self.problem, self.bound, _method(record))
        place = self.running.index(record)
        self.running[place] = replace(record, peak_bytes=peak.bytes)

    def ranking(self, order: Sequence[str]) -> list[CandidateResult]:
        """Order the verified candidates; ties go to less memory, then a fixed order."""
        best = min(map(_cost, self.running), default=float("inf"))

        def key(record: CandidateResult) -> tuple[float, float, int, int]:
            taken = _cost(record)
            tied = taken <= best * (1 + NOISE)
            memory = record.peak_bytes or record.predicted_bytes or 0
            place = order.index(record.strategy)
            return (
                best if tied else taken,
                memory if tied else 0,
                place,
                -(record.chunk_size or 0),
            )

        return sorted(self.running, key=key)

    def _best(self) -> float:
        return min((r.time_s or 0.0 for r in self.running), default=float("inf"))

    def _limit(self, factor: float) -> float:
        """Return so many times the best time, or what is brief in any case."""
        return max(factor * self._best(), self._spending.brief_s)

    def _near(self, factor: float) -> list[int]:
        limit = self._limit(factor)
        return [i for i, r in enumerate(self.running) if (r.time_s or 0.0) <= limit]

    def _unsure(self, rounds: int) -> bool:
        """Whether more rounds cost next to nothing, and so few were run."""
        return rounds < SURE and self._best() < QUICKLY

    def _contenders(self) -> list[int]:
        """List those near the leader that are not slower with confidence."""
        near = self._near(CONTENDING)
        leader = min(near, key=lambda i: self.running[i].time_s or 0.0, default=None)
        return [
            i
            for i in near
            if leader is None
            or i == leader
            or not slower(self.running[i].times, self.running[leader].times)
        ]

    def _left(self) -> float:
        """Seconds that may still be spent."""
        best = self._best()
        if best == float("inf"):
            return best
        allowed = max(self._spending.floor_s, self._spending.factor * best)
        return allowed - (self._clock() - self._started)

    def _enter_variants(self) -> None:
        """Enter the leader once more, with other chunks and in slices of samples."""
        if not self.running or self._spending.rounds == 0:
            return
        leader = min(self.running, key=lambda r: r.time_s or 0.0)
        for variant in variants(self.problem, self.bound, leader):
            if self._left() > 0:
                self.enter(variant, self._cheapest)

    def _verify(self, record: CandidateResult) -> CandidateResult:
        """Run a candidate to the end, if it is fast enough, and check its values."""
        method = _method(record)
        blocks: list[list[Tensor]] = []
        try:
            with self._stopping() as progress:
                taken = seconds(
                    lambda: blocks.extend(self._compute(method, progress)), self._device
                )
        except _Hopeless as stopped:
            return replace(
                record,
                outcome="skipped",
                reason="stopped: too slow to win",
                time_s=stopped.expected_s,
            )
        except Exception as error:
            outcome, reason = classify_error(error)
            return replace(record, outcome=outcome, reason=reason)
        try:
            verdict = verify(self.problem, self.bound, method, self.reference, blocks)
        except Exception as error:
            outcome, reason = classify_error(error)
            return replace(record, outcome=outcome, reason=reason)
        timed = replace(record, time_s=taken, first_s=taken, error=verdict.error)
        if verdict.right:
            blocks.clear()
            return self._reconsidered(timed)
        outcome = "wrong" if verdict.finite else "nonfinite"
        return replace(timed, outcome=outcome, reason=verdict.complaint)

    def _reconsidered(self, record: CandidateResult) -> CandidateResult:
        """Run a candidate once more that took much longer than its parts foretold.

        A large result may have waited for pages that nobody had touched before.
        """
        forecast, taken = record.forecast_s, record.time_s
        if not forecast or not taken or taken < SURPRISE * forecast:
            return record
        if self._spending.rounds == 0 or taken < QUICKLY:
            return record
        again = seconds(lambda: self._compute(_method(record)), self._device)
        return replace(record, time_s=min(taken, again))

    def _again(self, record: CandidateResult) -> CandidateResult:
        taken = seconds(lambda: self._compute(_method(record)), self._device)
        # The median, not the minimum: a large fresh result is cheap when the allocator
        # happens to have its pages, and that is not what the next call will find.
        times = (*record.times, taken)
        return replace(record, time_s=statistics.median(times), times=times)

    def _write(self) -> None:
        """Time those near the best into memory that is there, if results are large."""
        problem = self.problem
        near = self._near(self._spending.near)
        graph = problem.options.create_graph
        if problem.result_bytes < LARGE or len(near) < 2 or graph:
            return
        most = max(self.running[i].predicted_bytes or 0 for i in near)
        if most + problem.result_bytes > self._budget:
            return
        leader = min(near, key=lambda i: self.running[i].time_s or 0.0)
        out = nest(problem, self._compute(_method(self.running[leader])))
        times: dict[int, list[float]] = {i: [] for i in near}
        for number in range(LARGE_ROUNDS):
            for i in near if number % 2 == 0 else near[::-1]:
                kernel = self._kernel(_method(self.running[i]))
                run = functools.partial(kernel.run, self.bound, out=out)
                times[i].append(seconds(run, self._device))
        for i, taken in times.items():
            into_s = statistics.median(taken)
            self.running[i] = replace(self.running[i], into_s=into_s)

    def _compute(
        self, method: Method, progress: Callable[[float], None] | None = None
    ) -> list[list[Tensor]]:
        return self._kernel(method).run(self.bound, progress=progress)

    def _kernel(self, method: Method) -> Sweep:
        """Return what a plan would call; it is kept as a plan keeps it."""
        found = self._kernels.get(id(method))
        if found is None:
            found = Sweep(self.problem, method)
            if AMPLE * found.kept_bytes <= self._budget:
                self._kernels[id(method)] = found
        return found

    @contextmanager
    def _stopping(self) -> Generator[Callable[[float], None]]:
        begun = self._clock()
        limit = self._limit(self._spending.hopeless)

        def progress(done: float) -> None:
            taken = self._clock() - begun
            if done < 1 and taken > limit:
                raise _Hopeless(taken / done)

        yield progress


def _cost(record: CandidateResult) -> float:
    """Return what a call takes; into memory that is there, if that is known.

    Pages of a large fresh result cost every method the same, and now and then many
    times as much as the computation.
    """
    return (record.time_s or 0.0) if record.into_s is None else record.into_s


def _method(record: CandidateResult) -> Method:
    assert record.method is not None
    return record.method
