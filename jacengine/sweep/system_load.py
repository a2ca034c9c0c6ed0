"""The load that other processes put on the processors during a measurement.

The load average does not tell: it includes our own threads.
"""

from __future__ import annotations

import time

import psutil

HIGH_LOAD = 0.15
"""Share of the processors that others may use before times are doubtful."""


class SystemLoad:
    """Measures the load by other processes, from its construction on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._total_s = _total_seconds()
        self._own_s = _own_seconds()

    def share(self) -> float:
        """Return the share of all processors that others used, from 0 to 1."""
        available_s = (time.monotonic() - self._started) * (psutil.cpu_count() or 1)
        others_s = (_total_seconds() - self._total_s) - (_own_seconds() - self._own_s)
        return min(1.0, max(0.0, others_s / available_s)) if available_s > 0 else 0.0


def _total_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _own_seconds() -> float:
    """Return the processor time of this process and its descendants (compilers)."""
    own = psutil.Process()
    return sum(map(_process_seconds, [own, *own.children(recursive=True)]))


def _process_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process, and of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # it has ended, and its parent's times include it
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0)
    return float(times.user + times.system + ended)
