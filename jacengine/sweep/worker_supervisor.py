"""Worker processes: started, asked and killed, and replaced when they crash or hang."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self

from jacengine.report.case import COMPILED, Case
from jacengine.report.formatting import one_line
from jacengine.report.results import case_from_json
from jacengine.selection.select import RACE
from jacengine.sweep.case_spec import CaseSpec, Crashes, Settings
from jacengine.sweep.limits import ROUNDS
from jacengine.sweep.roofline import Roofline

STARTUP_S = 120.0
"""Seconds that a worker may take to import everything."""
MAX_CRASHES = 3
"""Strategies and libraries whose crashes a case survives before it fails."""
SHARED = frozenset({"", RACE, ROUNDS, COMPILED})
"""What is announced where nothing can be left out."""
ROOFLINE_S = 60.0
"""Seconds that the measurement of the roofline may take."""
_TAIL_BYTES = 4096
"""Bytes at the end of standard error that are searched for a message."""


class WorkerLostError(Exception):
    """The worker exited, or did not respond in time.

    Attributes:
        outcome: `crash` or `timeout`.
    """

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class WorkerProcess:
    """A running worker."""

    def __init__(self, threads: int | None) -> None:
        """Start a worker with a number of threads, or with PyTorch's default.

        Raises:
            WorkerLostError: It does not start.
        """
        self.threads = threads
        # -P: modules in the current folder must not shadow others.
        command = [sys.executable, "-P", "-m", "jacengine.sweep.worker"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill()
        self._process = subprocess.Popen(
            command if threads is None else [*command, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for the parent, which lets the worker finish its case.
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.response(time.monotonic() + STARTUP_S)
        except BaseException:
            self.kill()
            raise

    def send(self, **request: Any) -> None:
        """Send a request."""
        assert self._process.stdin is not None
        # A worker that is gone is noticed when its response is read.
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def response(self, until: float) -> dict[str, Any]:
        """Wait for the next response until a time on the monotonic clock.

        Raises:
            WorkerLostError: It exited, or did not respond in time.
        """
        try:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise WorkerLostError("timeout", "the time limit was reached") from None
        if line is None:
            raise WorkerLostError("crash", self._exit_reason())
        try:
            content: dict[str, Any] = json.loads(line)
        except ValueError:
            raise WorkerLostError("crash", "the worker sent no JSON") from None
        return content

    def kill(self) -> None:
        """Kill it and release its streams."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed while reading
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _exit_reason(self) -> str:
        code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the process was ended by {signal.Signals(-code).name}"
        reason = f"the process ended with exit code {code}"
        end = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, end - _TAIL_BYTES))
        lines = self._stderr.read().decode("utf-8", "replace").split("\n")
        last = next(filter(None, map(one_line, reversed(lines))), "")
        return f"{reason}: {last}" if last else reason


class WorkerSupervisor:
    """Measures cases in one worker at a time, since two would disturb each other.

    The worker is kept alive across cases.
    """

    def __init__(self, settings: Settings, limit_s: float) -> None:
        """Prepare a supervisor; the worker starts with the first case.

        Args:
            settings: How cases are measured.
            limit_s: Seconds that a case may take.
        """
        self._settings = settings
        self._limit_s = limit_s
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Self:
        """Return the supervisor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the worker."""
        self._kill()

    def measure(self, spec: CaseSpec, announce: Callable[[str], None]) -> Case:
        """Measure a case, and announce each candidate before it runs.

        If a strategy or a library crashes or hangs, its row says so, and the others go
        on; if anything else does, the case fails.
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
                optional = candidate not in SHARED and candidate not in crashes
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
