"""What became of each candidate: the facts that a selection rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jacengine.execution.method import Execution, Method
from jacengine.execution.sweep import Sweep
from jacengine.interface import Passes
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
    """One candidate and what became of it.

    Attributes:
        strategy: Its strategy's name.
        outcome: What became of it.
        reason: Why, in words, where it is not `ok`.
        method: The method in full, once it was known to run.
        chunk_size: Directions a pass.
        largest_chunk: The most directions a pass that the budget allows.
        appetite: Its memory as a function of the chunk.
        passes: Predicted passes.
        forecast_s: Time of a whole Jacobian, extrapolated from a few directions.
        time_s: Median time of a whole Jacobian; an extrapolation where `skipped`.
        first_s: Time of its first run, with whatever it set up.
        into_s: Median time of one that is written into memory that is there already;
            measured of large results only.
        times: Its times in the rounds of the race, after the first run.
        predicted_bytes: Predicted peak memory, the result included.
        peak_bytes: Measured peak memory, the result included.
        error: Relative error of the projection that verified it.
        kernel: The method made ready, where that took long.
    """

    strategy: str
    outcome: Outcome
    reason: str = ""
    method: Method | None = None
    chunk_size: int | None = None
    largest_chunk: int | None = None
    fit_memory_model: MemoryModel | None = None
    passes: Passes | None = None
    forecast_s: float | None = None
    time_s: float | None = None
    first_s: float | None = None
    into_s: float | None = None
    times: tuple[float, ...] = ()
    predicted_bytes: int | None = None
    peak_bytes: int | None = None
    error: float | None = None
    kernel: Sweep | None = field(default=None, compare=False, repr=False)

    @property
    def runs(self) -> int:
        """How many times it was timed."""
        return len(self.times) + (self.first_s is not None)

    @property
    def compiled(self) -> bool:
        """Whether its method is one that is compiled."""
        method = self.method
        return method is not None and method.execution is Execution.COMPILED

    @property
    def notes(self) -> str:
        """The reason, or what is special about the method."""
        special = "; ".join(self.method.notes) if self.method is not None else ""
        into = (
            "" if self.into_s is None else f"into out=: {format_seconds(self.into_s)}"
        )
        return "; ".join(part for part in (self.reason, special, into) if part)
