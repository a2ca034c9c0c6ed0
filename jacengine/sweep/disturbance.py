"""Was the machine quiet? What others took of the processors while we measured.

The load average does not tell: it counts our own threads too.
"""

from __future__ import annotations

import os
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
    times = os.times()
    return times.user + times.system
