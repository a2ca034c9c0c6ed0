"""Was the machine quiet? What others took of the processors while we measured.

The load average does not tell: it counts our own threads too.
"""

from __future__ import annotations

import time

import psutil

LOUD = 0.15
"""Share of the processors that others may take before times are doubtful."""


class Disturbance:
    """Watches the processors from its making on."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy = _busy()
        self._own = _own()

    def share(self) -> float:
        """Return the share of all processors that others took, from 0 to 1."""
        cores = psutil.cpu_count() or 1
        elapsed = (time.monotonic() - self._begun) * cores
        others = (_busy() - self._busy) - (_own() - self._own)
        return min(1.0, max(0.0, others / elapsed)) if elapsed > 0 else 0.0


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _own() -> float:
    """Return what this process took, and what it started: compilers, for one."""
    mine = psutil.Process()
    return sum(map(_taken, [mine, *mine.children(recursive=True)]))


def _taken(process: psutil.Process) -> float:
    """Return the seconds of a process, and of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # and so counted with its parent's
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0)
    return float(times.user + times.system + ended)
