"""The worker as its owner sees it: started, asked, listened to, ended."""

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

STARTING = 120.0
"""Seconds that a worker may take to import everything."""
_LAST_WORDS = 4096
"""Bytes of standard error that are looked at."""


class WorkerLost(Exception):  # noqa: N818 - said of the worker, not of us
    """The worker ended, or was ended because it did not answer.

    Attributes:
        outcome: `crash` or `timeout`.
    """

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


class WorkerProcess:
    """A running worker."""

    def __init__(self, threads: int | None) -> None:
        """Start one.

        Args:
            threads: Threads of one operator; `None` for torch's own choice.

        Raises:
            WorkerLost: It does not start.
        """
        self.threads = threads
        command = [sys.executable, "-m", "jacengine.sweep.worker"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as we do
        self._process = subprocess.Popen(
            command if threads is None else [*command, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for the owner, who lets the worker finish its case.
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.answer(time.monotonic() + STARTING)
        except BaseException:
            self.end()
            raise

    def ask(self, request: str) -> None:
        """Send a request."""
        assert self._process.stdin is not None
        # A worker that is gone is noticed where its answer is awaited.
        with contextlib.suppress(OSError):
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()

    def answer(self, until: float) -> dict[str, Any]:
        """Wait for the next answer.

        Args:
            until: When to give up, on the monotonic clock.

        Raises:
            WorkerLost: It ended, or nothing came in time.
        """
        try:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise WorkerLost("timeout", "the time limit was reached") from None
        if line is None:
            raise WorkerLost("crash", self._cause())
        try:
            content: dict[str, Any] = json.loads(line)
        except ValueError:
            raise WorkerLost("crash", "the worker answered no JSON") from None
        return content

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed in the middle
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _cause(self) -> str:
        """Say how the process ended."""
        code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the process was ended by {signal.Signals(-code).name}"
        last = self._last_line()
        return f"the process ended with exit code {code}" + (
            f": {last}" if last else ""
        )

    def _last_line(self) -> str:
        end = self._errors.seek(0, 2)
        self._errors.seek(max(0, end - _LAST_WORDS))
        said = self._errors.read().decode("utf-8", "replace").strip()
        return one_line(said.splitlines()[-1]) if said else ""
