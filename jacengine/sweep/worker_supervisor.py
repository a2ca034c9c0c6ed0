"""Cases measured in a worker that is kept alive, and replaced when it dies or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from jacengine.report.case import Case
from jacengine.report.results import case_from_json
from jacengine.sweep.case_spec import Settings, Trial
from jacengine.sweep.messages import Avoid, measure_request
from jacengine.sweep.process import WorkerLost, WorkerProcess
from jacengine.sweep.roofline import Rates

SPARED = 3
"""Libraries that end the worker and are left out of a case before it is given up."""
RATES_S = 60.0
"""Seconds that the rates may take."""


class Pool:
    """One worker at a time: cases side by side would disturb each other."""

    def __init__(
        self, settings: Settings, libraries: frozenset[str], limit_s: float
    ) -> None:
        """Prepare a pool; the worker starts when it is needed.

        Args:
            settings: How cases are measured.
            libraries: Names of contenders that a case can do without.
            limit_s: Seconds that a case may take.
        """
        self._settings = settings
        self._libraries = libraries
        self._limit_s = limit_s
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the worker."""
        self._end()

    def measure(self, trial: Trial, tell: Callable[[str], None]) -> Case:
        """Measure a case.

        Args:
            trial: Which.
            tell: Told who runs.

        Returns:
            The case. A library that crashes or hangs is one row of it; whatever else
            does is its failure.
        """
        avoid: dict[str, tuple[str, str]] = {}
        while True:
            at = ""

            def heard(name: str) -> None:
                nonlocal at
                at = name
                tell(name)

            try:
                return self._attempt(trial, avoid, heard)
            except WorkerLost as lost:
                self._end()
                if at in self._libraries and at not in avoid and len(avoid) < SPARED:
                    avoid[at] = (lost.outcome, str(lost))
                    continue
                where = f" while {at} ran" if at else ""
                return _failed(trial, f"{lost.outcome}{where}: {lost}")
            except BaseException:
                self._end()
                raise

    def rates(self, device: str, threads: int | None) -> Rates | None:
        """Measure what the machine can do; `None` if that fails."""
        try:
            worker = self._ready(threads)
            worker.ask(f'{{"do": "rates", "device": "{device}"}}')
            found = worker.answer(time.monotonic() + RATES_S)
            return Rates(*found["rates"])
        except WorkerLost:
            self._end()
            return None

    def _attempt(self, trial: Trial, avoid: Avoid, tell: Callable[[str], None]) -> Case:
        worker = self._ready(trial.threads)
        until = time.monotonic() + self._limit_s
        worker.ask(measure_request(trial, self._settings, avoid))
        while "case" not in (answer := worker.answer(until)):
            tell(str(answer.get("at", "")))
        return case_from_json(answer["case"])

    def _ready(self, threads: int | None) -> WorkerProcess:
        """Return a worker with so many threads, a new one if need be."""
        if self._worker is not None and self._worker.threads != threads:
            self._end()
        if self._worker is None:
            self._worker = WorkerProcess(threads)
        return self._worker

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


def _failed(trial: Trial, failure: str) -> Case:
    return Case(
        trial.name,
        "",
        workload=trial.workload,
        size=trial.size,
        dtype=trial.dtype,
        device=trial.device,
        threads=trial.threads,
        failure=failure,
    )
