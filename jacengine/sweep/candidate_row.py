"""A contender on its way to a row of figures."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import torch

from jacengine.selection.outcomes import classify_error
from jacengine.selection.reference import Reference
from jacengine.sweep.candidate import Contender, TooSlow
from jacengine.sweep.limits import Limits
from jacengine.sweep.memory_flops import weighed
from jacengine.timing import seconds


class Entry:
    """A contender, verified and timed step by step; a step that fails is its last.

    Attributes:
        row: What is known so far.
        best_s: Its fastest run so far, infinite before the first.
    """

    def __init__(self, contender: Contender, device: torch.device) -> None:
        self.row = contender.row
        self.best_s = math.inf
        self._contender = contender
        self._device = device

    @property
    def right(self) -> bool:
        """Whether nothing was wrong so far."""
        return self.row.outcome == "ok"

    def verify(self, reference: Reference, limit_s: float) -> None:
        """Run for the first time, and compare with plain autograd.

        Args:
            reference: What is right.
            limit_s: When to give up.
        """
        try:
            kept: list[Any] = []
            taken = seconds(
                lambda: kept.append(self._contender.first(limit_s)), self._device
            )
            self.row = replace(self.row, first_s=taken, time_s=taken, runs=1)
            verdict = reference.judge(self._contender.blocks(kept.pop()))
        except TooSlow as slow:
            self._end("skipped", slow.reason)
            self.row = replace(self.row, time_s=slow.expected_s)
            return
        except ValueError as error:
            self._end("wrong", str(error))
            return
        except Exception as error:
            self._end(*classify_error(error))
            return
        self.best_s = taken
        self.row = replace(self.row, error=verdict.error)
        if not verdict.right:
            self._end("wrong" if verdict.finite else "nonfinite", verdict.complaint)

    def time(self) -> float:
        """Run once more, and return the seconds; infinite if it fails."""
        try:
            taken = seconds(self._contender.run, self._device)
        except Exception as error:
            self._end(*classify_error(error))
            return math.inf
        self.best_s = min(self.best_s, taken)
        return taken

    def again(self) -> None:
        """Run a second time, since a first run pays for what it sets up."""
        taken = self.time()
        if self.right:
            self.row = replace(self.row, time_s=taken, runs=2)

    def keep(self, times: list[float]) -> None:
        """Take over the times of the rounds."""
        if times and self.right:
            self.row = replace(
                self.row,
                time_s=statistics.median(times),
                times=tuple(times),
                runs=self.row.runs + len(times),
            )

    def measure_peak(self, limits: Limits) -> None:
        """Count memory and arithmetic, if a run is short."""
        if not self.right or self.best_s > limits.weighed_s:
            return
        try:
            peak, flops = weighed(self._contender.run, self._device)
        except Exception:
            return
        self.row = replace(self.row, peak_bytes=peak, flops=flops)

    def _end(self, outcome: str, reason: str) -> None:
        notes = "; ".join(filter(None, [reason, self.row.notes]))
        self.row = replace(self.row, outcome=outcome, notes=notes)
