"""The worker as its parent process sees it: start it, send requests, read responses."""

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
from typing import Any

from jacengine.report.formatting import one_line

STARTUP_S = 120.0
"""Seconds that a worker may take to import everything."""
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
        """Start a worker.

        Args:
            threads: Threads of one operator; `None` for PyTorch's default.

        Raises:
            WorkerLostError: It does not start.
        """
        self.threads = threads
        command = [sys.executable, "-m", "jacengine.sweep.worker"]
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
        """Wait for the next response.

        Args:
            until: The time limit, on the monotonic clock.

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
