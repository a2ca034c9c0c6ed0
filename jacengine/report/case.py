"""What a report is made from: cases, their candidates, and where it was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from jacengine.problem.quantity import Quantity
from jacengine.report.formatting import one_line, without_paths
from jacengine.report.machine import Machine

if TYPE_CHECKING:
    from jacengine.problem.problem import Problem
    from jacengine.selection.candidate_result import CandidateResult
    from jacengine.selection.select import Selection


Kind = Literal["strategy", "auto", "compiled", "library"]
"""Whose a row is: a named method of jacengine, what `auto` chose, the same as compiled
code, another library."""
COMPILED = "auto (compiled)"
"""The name of what `auto` chose as compiled code."""


@dataclass(frozen=True)
class Row:
    """One candidate: the figures of its `Record` in a selection, as plain values.

    Attributes:
        strategy: Its strategy's name.
        outcome: What became of it; only `ok` is verified.
        notes: The reason, or what is special about it.
        chunk_size: Directions a pass.
        forward_passes: Predicted calls of the function.
        backward_passes: Predicted backward passes.
        time_s: Median time of a whole result; an extrapolation where `skipped`.
        first_s: Time of the first run.
        runs: How many times it was timed.
        predicted_bytes: Predicted peak memory.
        peak_bytes: Measured peak memory.
        error: Relative error of the projection that verified it.
        kind: Whose it is.
        picked: For `auto`, the strategy that it chose.
        times: The times of the interleaved rounds, in seconds, in their order.
        flops: Floating-point operations of one result, as counted.
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
        """Take the figures of a record."""
        passes = record.passes
        return cls(
            record.strategy,
            record.outcome,
            record.notes,
            record.chunk_size,
            None if passes is None else passes.forward,
            None if passes is None else passes.backward,
            _number(record.time_s),
            _number(record.first_s),
            record.runs,
            record.predicted_bytes,
            record.peak_bytes,
            _number(record.error),
            times=record.times,
        )

    @property
    def memory_bytes(self) -> int | None:
        """Peak memory: as measured, or else as predicted."""
        return self.predicted_bytes if self.peak_bytes is None else self.peak_bytes


@dataclass(frozen=True)
class Case:
    """One Jacobian, or something of a Hessian, and every candidate for it.

    Attributes:
        name: What it is called.
        description: What it is, in a sentence.
        rows: The candidates.
        outputs: Output entries (of one sample).
        inputs: Input entries (of one sample, or parameters).
        samples: Independent samples, `None` if it is one point.
        result_bytes: The size of the result.
        selection_s: What verifying and timing took.
        failure: Why there are no candidates, where there are none.
        workload: The workload it is a size of; empty where there are no sizes.
        size: The value of the workload's parameter ...
        parameter: ... and what that is, in words.
        origin: Where the workload is from.
        dtype: Of the differentiated function, as `float32`.
        device: Where it ran, as `cpu`.
        threads: Threads of one operator.
        unstable: Whether other work disturbed the times.
        budget_bytes: The memory budget, `None` if none was given.
        quantity: What was computed.
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

    @classmethod
    def of(
        cls, name: str, description: str, problem: Problem, selection: Selection
    ) -> Case:
        """Take the figures of a finished selection."""
        return cls(
            name,
            description,
            tuple(Row.of(record) for record in selection.records),
            problem.output_count,
            problem.column_count,
            problem.batch_size,
            problem.result_bytes,
            selection.cost_s,
            quantity=problem.options.quantity,
        )


@dataclass(frozen=True)
class Report:
    """Finished cases, where they ran, and how to run them again.

    Attributes:
        cases: In the order in which they ran.
        machine: Where.
        command: How.
        planned: How many cases there were to be, if it was interrupted more than
            there are.
        fill_rate: Bytes a second that memory is filled with, measured beside them.
        matmul_rate: Floating-point operations a second of a large float32 product.
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


def presentable(report: Report) -> Report:
    """Bring foreign text onto single lines, without anybody's folders in it."""
    return replace(
        report,
        command=_clean(report.command),
        fill_rate=_number(report.fill_rate),
        matmul_rate=_number(report.matmul_rate),
        cases=tuple(_presentable_case(finite(case)) for case in report.cases),
    )


def _presentable_case(case: Case) -> Case:
    return replace(
        case,
        name=_clean(case.name) or "unnamed",
        description=_clean(case.description),
        failure=_clean(case.failure),
        workload=_clean(case.workload),
        parameter=_clean(case.parameter),
        origin=_clean(case.origin),
        dtype=_clean(case.dtype),
        device=_clean(case.device),
        rows=tuple(_presentable_row(row) for row in case.rows),
    )


def finite(case: Case) -> Case:
    """Leave out the numbers that JSON does not know: NaN and infinity."""
    return replace(
        case,
        selection_s=_number(case.selection_s),
        rows=tuple(_finite_row(row) for row in case.rows),
    )


def _finite_row(row: Row) -> Row:
    return replace(
        row,
        time_s=_number(row.time_s),
        first_s=_number(row.first_s),
        error=_number(row.error),
        times=tuple(time for time in row.times if math.isfinite(time)),
    )


def _presentable_row(row: Row) -> Row:
    return replace(
        row,
        strategy=_clean(row.strategy) or "unnamed",
        outcome=_clean(row.outcome),
        notes=_clean(row.notes),
        picked=_clean(row.picked),
    )


def _clean(text: str) -> str:
    return without_paths(one_line(text))


def _number(value: float | None) -> float | None:
    """Turn NaN and infinity, which JSON does not know, into nothing."""
    return value if value is not None and math.isfinite(value) else None
