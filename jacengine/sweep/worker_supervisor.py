"""A worker that is kept alive across cases, and replaced when it crashes or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Self

from jacengine.report.case import Case
from jacengine.report.results import case_from_json
from jacengine.sweep.case_spec import CaseSpec, Crashes, Settings
from jacengine.sweep.process import WorkerLostError, WorkerProcess
from jacengine.sweep.roofline import Roofline

MAX_CRASHES = 3
"""Libraries whose crashes a case survives before it fails."""
ROOFLINE_S = 60.0
"""Seconds that the measurement of the roofline may take."""


class WorkerSupervisor:
    """Measures cases in one worker at a time, since two would disturb each other."""

    def __init__(
        self, settings: Settings, libraries: frozenset[str], limit_s: float
    ) -> None:
        """Prepare a supervisor; the worker starts with the first case.

        Args:
            settings: How cases are measured.
            libraries: Names of candidates that a case can do without.
            limit_s: Seconds that a case may take.
        """
        self._settings = settings
        self._libraries = libraries
        self._limit_s = limit_s
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Self:
        """Return the supervisor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the worker."""
        self._kill()

    def measure(self, spec: CaseSpec, announce: Callable[[str], None]) -> Case:
        """Measure a case.

        Args:
            spec: The case.
            announce: Called with the name of each candidate before it runs.

        Returns:
            The case. If a library crashes or hangs, its row says so; if anything else
            does, the case fails.
        """
        crashes: dict[str, tuple[str, str]] = {}
        candidate = ""

        def record(name: str) -> None:
            nonlocal candidate
            candidate = name
            announce(name)

        while True:
            candidate = ""
            try:
                return self._attempt(spec, crashes, record)
            except WorkerLostError as lost:
                self._kill()
                optional = candidate in self._libraries and candidate not in crashes
                if optional and len(crashes) < MAX_CRASHES:
                    crashes[candidate] = (lost.outcome, str(lost))
                    continue
                where = f" while {candidate} ran" if candidate else ""
                return Case(
                    spec.name,
                    "",
                    workload=spec.workload,
                    size=spec.size,
                    dtype=spec.dtype,
                    device=spec.device,
                    threads=spec.threads,
                    failure=f"{lost.outcome}{where}: {lost}",
                )
            except BaseException:
                self._kill()
                raise

    def roofline(self, device: str, threads: int | None) -> Roofline | None:
        """Measure the roofline of a device; return `None` if that fails."""
        try:
            worker = self._started(threads)
            worker.send(roofline=device)
            found = worker.response(time.monotonic() + ROOFLINE_S)
            return Roofline(**found["roofline"])
        except WorkerLostError:
            self._kill()
            return None

    def _attempt(
        self, spec: CaseSpec, crashes: Crashes, announce: Callable[[str], None]
    ) -> Case:
        worker = self._started(spec.threads)
        until = time.monotonic() + self._limit_s
        worker.send(case=asdict(spec), settings=asdict(self._settings), crashes=crashes)
        while "case" not in (response := worker.response(until)):
            announce(str(response.get("candidate", "")))
        return case_from_json(response["case"])

    def _started(self, threads: int | None) -> WorkerProcess:
        """Return a worker with this number of threads; start one if necessary."""
        if self._worker is not None and self._worker.threads != threads:
            self._kill()
        if self._worker is None:
            self._worker = WorkerProcess(threads)
        return self._worker

    def _kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
