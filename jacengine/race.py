"""The race: candidates verified by their first run, then timed in interleaved rounds.

Candidates come in the order of a cost model. One that takes several times the best is
stopped between two of its passes. Those near the best race until the leader is clear or
the effort is spent. Within noise the one with less memory wins, then the registered
order, so that the same call picks the same winner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import Tensor

from jacengine.accumulate import accumulate
from jacengine.call import Call
from jacengine.measure import peak_memory, seconds
from jacengine.method import Method
from jacengine.problem import Problem
from jacengine.qualify import classify
from jacengine.record import Record
from jacengine.truth import Truth

NOISE = 0.03
"""Times closer than this share are a tie."""
HOPELESS = 2.5
"""A candidate is stopped when it has taken this many times the best whole run."""
CONTENDING = 1.5
"""A candidate races on while its best time is within this factor of the leader's."""
SMALLER_CHUNKS = (4, 16)
"""The leader is also tried with chunks this many times smaller, which can be faster."""


@dataclass(frozen=True)
class Spending:
    """How much a selection may cost.

    Attributes:
        floor_s: Seconds the race may take in any case ...
        factor: ... or this many times the best candidate's time, whichever is more.
        rounds: Rounds of the race at most.
        hopeless: Stop candidates that take this many times the best.
    """

    floor_s: float
    factor: float
    rounds: int
    hopeless: float


QUICK = Spending(floor_s=0.2, factor=8, rounds=8, hopeless=HOPELESS)
THOROUGH = Spending(floor_s=5.0, factor=200, rounds=30, hopeless=float("inf"))


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
        call: Call,
        truth: Truth,
        spending: Spending,
        clock: Callable[[], float],
    ) -> None:
        """Prepare a race, in which `truth` tells what is right."""
        self._problem = problem
        self._call = call
        self._spending = spending
        self._clock = clock
        self._started = clock()
        self._device = problem.outputs[0].device
        self._truth = truth
        self.running: list[Record] = []
        self.out: list[Record] = []

    def enter(self, waiting: Sequence[Record]) -> None:
        """Run every candidate once, verify it, and stop the hopeless ones."""
        for record in waiting:
            if self._left() <= 0:
                reason = "not tried: the time for the selection was spent"
                self.out.append(replace(record, outcome="skipped", reason=reason))
                continue
            verified = self._verify(record)
            (self.running if verified.outcome == "ok" else self.out).append(verified)

    def run(self) -> None:
        """Race those near the best, in rounds; measure what memory they take."""
        self._enter_smaller_chunks()
        for number in range(self._spending.rounds):
            near = self._near()
            if self._left() <= 0 or (len(near) < 2 and number > 1):
                break
            for i in near if number % 2 == 0 else near[::-1]:
                self.running[i] = self._again(self.running[i])
        for i in self._near():
            self.running[i] = self._weighed(self.running[i])

    def ranking(self, order: dict[str, int]) -> list[Record]:
        """Order the verified candidates; ties go to less memory, then a fixed order."""
        best = self._best()

        def key(record: Record) -> tuple[float, float, int, int]:
            taken = record.time_s or 0.0
            tied = taken <= best * (1 + NOISE)
            memory = record.peak_bytes or record.predicted_bytes or 0
            place = order[record.strategy]
            return (
                best if tied else taken,
                memory if tied else 0,
                place,
                -(record.chunk_size or 0),
            )

        return sorted(self.running, key=key)

    def _best(self) -> float:
        return min((r.time_s or 0.0 for r in self.running), default=float("inf"))

    def _near(self) -> list[int]:
        limit = CONTENDING * self._best()
        return [i for i, r in enumerate(self.running) if (r.time_s or 0.0) <= limit]

    def _left(self) -> float:
        """Seconds that may still be spent."""
        best = self._best()
        if best == float("inf"):
            return best
        allowed = max(self._spending.floor_s, self._spending.factor * best)
        return allowed - (self._clock() - self._started)

    def _enter_smaller_chunks(self) -> None:
        if not self.running:
            return
        leader = min(self.running, key=lambda r: r.time_s or 0.0)
        chunk = leader.chunk_size or 1
        if leader.method is None or leader.method.strategy.single:
            return
        for divisor in SMALLER_CHUNKS:
            smaller = -(-chunk // divisor)
            if 1 < smaller < chunk:
                method = replace(leader.method, chunk_size=smaller)
                passes = method.passes(self._problem)
                record = Record(
                    leader.strategy,
                    "ok",
                    method=method,
                    chunk_size=smaller,
                    passes=passes,
                )
                self.enter([record])

    def _verify(self, record: Record) -> Record:
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
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything
            outcome, reason = classify(error)
            return replace(record, outcome=outcome, reason=reason)
        verdict = self._truth.judge(blocks)
        timed = replace(
            record, time_s=taken, first_s=taken, runs=1, error=verdict.error
        )
        if verdict.right:
            return timed
        outcome = "wrong" if verdict.finite else "nonfinite"
        return replace(timed, outcome=outcome, reason=verdict.complaint)

    def _again(self, record: Record) -> Record:
        taken = seconds(lambda: self._compute(_method(record)), self._device)
        fastest = min(taken, record.time_s or taken)
        return replace(record, time_s=fastest, runs=record.runs + 1)

    def _weighed(self, record: Record) -> Record:
        with peak_memory(self._device) as peak:
            self._compute(_method(record))
        return replace(record, peak_bytes=peak.bytes)

    def _compute(
        self, method: Method, progress: Callable[[float], None] | None = None
    ) -> list[list[Tensor]]:
        return accumulate(self._problem, self._call, method, progress=progress)

    @contextmanager
    def _stopping(self) -> Iterator[Callable[[float], None]]:
        begun = self._clock()
        limit = self._spending.hopeless * self._best()

        def progress(done: float) -> None:
            taken = self._clock() - begun
            if done < 1 and taken > limit:
                raise _Hopeless(taken / done)

        yield progress


def _method(record: Record) -> Method:
    assert record.method is not None
    return record.method
