"""The result of trying a candidate: outcome, times, memory, error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from jacengine.errors import JacengineError, PatternError, UnsupportedError
from jacengine.execution.method import Execution, Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Passes
from jacengine.problem.problem import Problem
from jacengine.selection.memory_model import MemoryModel
from jacengine.timing import format_seconds

Outcome = Literal[
    "ok",
    "wrong",
    "nonfinite",
    "unsupported",
    "over_budget",
    "oom",
    "error",
    "skipped",
]
"""`ok`: verified, may win. `wrong`, `nonfinite`: its values are not those of plain
autograd. `unsupported`: it says so, or an operator does. `over_budget`: predicted to
need more memory than allowed, so not run. `oom`: ran out of memory. `error`: it raised
something else, or broke its contract. `skipped`: not run to its end, too slow to
win."""


@dataclass(frozen=True)
class CandidateResult:
    """One candidate, and what trying it showed.

    Attributes:
        strategy: Its strategy's name, with the gradient that it is composed with.
        outcome: Whether it may be used, or why not.
        reason: Why not, in words.
        method: The method in full, once it was known to run.
        largest_chunk: The most directions a pass that the budget allows.
        memory_model: Its memory as a function of the chunk.
        passes: Predicted passes.
        forecast_s: Time of a whole Jacobian, extrapolated from a few directions.
        time_s: Median time of a whole Jacobian; an extrapolation where `skipped`.
        first_s: Time of its first run, set-up included.
        into_s: Median time of a run that writes into existing memory; measured of
            large results only.
        times: Its times in the rounds of the race, after the first run.
        predicted_bytes: Predicted peak memory, the result included.
        peak_bytes: Measured peak memory, the result included.
        error: Relative error of the projection that verified it.
        sweep: The method made ready, where that took long.
    """

    strategy: str
    outcome: Outcome
    reason: str = ""
    method: Method | None = None
    largest_chunk: int | None = None
    memory_model: MemoryModel | None = None
    passes: Passes | None = None
    forecast_s: float | None = None
    time_s: float | None = None
    first_s: float | None = None
    into_s: float | None = None
    times: tuple[float, ...] = ()
    predicted_bytes: int | None = None
    peak_bytes: int | None = None
    error: float | None = None
    sweep: Sweep | None = field(default=None, compare=False, repr=False)

    @property
    def chunk_size(self) -> int | None:
        """Directions a pass."""
        return None if self.method is None else self.method.chunk_size

    @property
    def runs(self) -> int:
        """How many times it was timed."""
        return len(self.times) + (self.first_s is not None)

    @property
    def compiled(self) -> bool:
        """Whether its method is compiled."""
        method = self.method
        return method is not None and method.execution is Execution.COMPILED

    @property
    def notes(self) -> str:
        """The reason, or what distinguishes the method."""
        notes = [self.reason, *(() if self.method is None else self.method.notes)]
        if self.into_s is not None:
            notes.append(f"into out=: {format_seconds(self.into_s)}")
        return "; ".join(filter(None, notes))

    def changed(self, problem: Problem, method: Method) -> CandidateResult:
        """Return the result of another method that is not timed yet."""
        predicted = self.predicted_bytes
        if self.memory_model is not None and method.chunk_size is not None:
            predicted = self.memory_model.peak(problem, method, method.chunk_size)
        return replace(
            self,
            method=method,
            passes=method.passes(problem),
            predicted_bytes=predicted,
            peak_bytes=None,
            time_s=None,
            first_s=None,
            into_s=None,
            times=(),
            sweep=None,
        )


def classify_error(error: Exception) -> tuple[Outcome, str]:
    """Turn what a strategy raised into an outcome and a reason."""
    message = str(error).strip()
    said = re.split(r"(?<=[.!])\s|\n", message, maxsplit=1)[0].rstrip(".")
    reason = f"{type(error).__name__}: {said}"
    operator = operator_in(message)
    if operator and operator not in reason:
        reason = f"{operator}: {reason}"
    runtime = isinstance(error, RuntimeError)
    # On CPU torch raises a plain RuntimeError for a refused allocation.
    refused = runtime and "can't allocate memory" in message
    if refused or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "oom", reason
    if isinstance(error, PatternError):
        return "wrong", message
    declined = isinstance(error, UnsupportedError)
    ours = isinstance(error, JacengineError) and not declined
    return "unsupported" if runtime and not ours else "error", reason


def operator_in(message: str) -> str | None:
    """Find the name of the operator that an error message of torch complains of."""
    for pattern in (
        r"(aten::[A-Za-z_0-9.]*[A-Za-z_0-9])",
        r"derivative for '([A-Za-z_0-9:.]+)'",
        r"forward AD with ([A-Za-z_0-9:.]+)",
        r"your custom (autograd.Function) to use it with backward mode",
    ):
        found = re.search(pattern, message)
        if found:
            return found[1]
    return None
