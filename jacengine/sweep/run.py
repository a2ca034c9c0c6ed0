"""The sweep itself: case after case, each written down before the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jacengine.bench.workload import Workload
from jacengine.report.case import Case
from jacengine.sweep.case_spec import Trial
from jacengine.sweep.journal import Writer
from jacengine.sweep.worker_supervisor import Pool


class Audience(Protocol):
    """Whoever follows a sweep."""

    def began(self, trial: Trial) -> None:
        """Take note that a case begins."""

    def at(self, contender: str) -> None:
        """Take note of who runs."""

    def finished(self, case: Case) -> None:
        """Take note of a case that is finished and written down."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep needs.

    Attributes:
        pool: Measures.
        writer: Writes down.
        workloads: By name, to describe cases that never began.
        audience: Follows.
    """

    pool: Pool
    writer: Writer
    workloads: Mapping[str, Workload]
    audience: Audience

    def run(self, trials: Sequence[Trial], stop: Callable[[], bool]) -> None:
        """Measure cases.

        Args:
            trials: Which, in order.
            stop: Whether to end before the next.
        """
        for trial in trials:
            if stop():
                return
            self.audience.began(trial)
            case = self.pool.measure(trial, self.audience.at)
            workload = self.workloads.get(trial.workload)
            if workload is not None and not case.description:
                case = replace(
                    case,
                    description=workload.use,
                    origin=workload.origin,
                    parameter=workload.parameter,
                )
            self.writer.append(case)
            self.audience.finished(case)


def unsolved(case: Case) -> bool:
    """Whether a case has no right strategy."""
    return not any(row.outcome == "ok" and row.kind != "library" for row in case.rows)
