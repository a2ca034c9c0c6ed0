"""The contents of a report: cases, their candidates, and the machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from jacengine.problem.quantity import Quantity
from jacengine.report.formatting import one_line, redact_folders, visible
from jacengine.report.machine import Machine

if TYPE_CHECKING:
    from jacengine.selection.candidate_result import CandidateResult

_Content = TypeVar("_Content")

Kind = Literal["strategy", "auto", "compiled", "library"]
"""The kind of a method: a strategy of jacengine, the choice of `auto`, the same choice
compiled, or another library."""
COMPILED = "auto (compiled)"
"""The method name of the compiled choice of `auto`."""


@dataclass(frozen=True)
class Row:
    """The result of one candidate, as plain values.

    Attributes:
        strategy: The name of the method.
        outcome: The outcome; only `ok` is verified.
        notes: The reason of a failure, or a remark.
        chunk_size: Directions in each pass.
        forward_passes: Predicted calls of the function.
        backward_passes: Predicted backward passes.
        time_s: Median time of a whole result; an extrapolation where `skipped`.
        first_s: Time of the first run.
        runs: The number of timed runs.
        predicted_bytes: Predicted peak memory.
        peak_bytes: Measured peak memory.
        error: Relative error of the projection that verified the result.
        kind: The kind of the method.
        picked: For `auto`, the strategy that it chose.
        times: The times of the interleaved rounds, in seconds, in order.
        flops: Counted floating-point operations of one result.
    """

    strategy: str
    outcome: str
    notes: str = ""
    chunk_size: int | None = None
    forward_passes: int | None = None
    backward_passes: int | None = None
    time_s: float | None = None
    first_s: float | None = None
    runs: int = 0
    predicted_bytes: int | None = None
    peak_bytes: int | None = None
    error: float | None = None
    kind: Kind = "strategy"
    picked: str = ""
    times: tuple[float, ...] = ()
    flops: int | None = None

    @classmethod
    def of(cls, record: CandidateResult) -> Row:
        """Convert the result of a candidate."""
        passes = record.passes
        row = cls(
            record.strategy,
            record.outcome,
            record.notes,
            record.chunk_size,
            None if passes is None else passes.forward,
            None if passes is None else passes.backward,
            record.time_s,
            record.first_s,
            record.runs,
            record.predicted_bytes,
            record.peak_bytes,
            record.error,
            times=record.times,
        )
        return drop_nonfinite(row)

    @property
    def memory_bytes(self) -> int | None:
        """Peak memory: measured, or else predicted."""
        return self.predicted_bytes if self.peak_bytes is None else self.peak_bytes


@dataclass(frozen=True)
class Case:
    """One derivative to compute, with the results of all candidates.

    Attributes:
        name: The name of the case.
        description: A description, in a sentence.
        rows: The candidates.
        outputs: Output entries (of one sample).
        inputs: Input entries (of one sample, or parameters).
        samples: Independent samples, `None` without a sample axis.
        result_bytes: The size of the result.
        selection_s: Time of verification and timing.
        failure: The reason why there are no candidates.
        skipped: Whether that is a library that is not installed: no failure of ours.
        workload: The workload of which this is one size; empty without sizes.
        size: The value of the workload's size parameter.
        parameter: The name of the size parameter.
        origin: The source of the workload.
        dtype: Of the differentiated function, as `float32`.
        device: The device, as `cpu`.
        threads: Threads of one operator.
        unstable: Whether other processes disturbed the times.
        budget_bytes: The memory budget, `None` if none was given.
        quantity: The kind of derivative.
        code: The code of the workload, with the names of its files.
    """

    name: str
    description: str
    rows: tuple[Row, ...] = ()
    outputs: int | None = None
    inputs: int | None = None
    samples: int | None = None
    result_bytes: int | None = None
    selection_s: float | None = None
    failure: str = ""
    skipped: bool = False
    workload: str = ""
    size: int | None = None
    parameter: str = ""
    origin: str = ""
    dtype: str = ""
    device: str = ""
    threads: int | None = None
    unstable: bool = False
    budget_bytes: int | None = None
    quantity: Quantity = "jacobian"
    code: str = ""


@dataclass(frozen=True)
class Report:
    """Finished cases, the machine, and the command that reproduces them.

    Attributes:
        cases: In the order in which they ran.
        machine: The machine.
        command: The command.
        planned: The number of planned cases, larger than that of `cases` if the run
            was interrupted.
        fill_rate: Measured memory fill rate, in bytes a second.
        matmul_rate: Measured rate of a large float32 matrix product, in FLOP/s.
    """

    cases: tuple[Case, ...]
    machine: Machine
    command: str
    planned: int
    fill_rate: float | None = None
    matmul_rate: float | None = None

    @property
    def interrupted(self) -> bool:
        """Whether cases are missing."""
        return self.planned > len(self.cases)


def sanitize(report: Report) -> Report:
    """Put foreign text on single lines, redact folders and drop NaN and infinity."""
    return cast("Report", _mapped(report, redact=True))


def drop_nonfinite(content: _Content) -> _Content:
    """Replace NaN and infinity, which JSON cannot represent, by `None`."""
    return cast("_Content", _mapped(content, redact=False))


def _mapped(value: Any, field: str = "", *, redact: bool) -> Any:
    """Sanitize a value and everything in it; tuples drop their missing items."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        changed = {n: _mapped(getattr(value, n), n, redact=redact) for n in names}
        return replace(value, **changed)
    if isinstance(value, tuple):
        items = (_mapped(item, redact=redact) for item in value)
        return tuple(item for item in items if item is not None)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and redact and field == "code":
        lines = value.replace(str(Path.home()), "~").split("\n")
        return "\n".join(visible(line) for line in lines)
    if isinstance(value, str) and redact:
        text = redact_folders(one_line(value))
        return text or ("unnamed" if field in {"name", "strategy"} else "")
    return value
