"""Cases measured side by side, by the workers of an executor.

Each worker measures in a process of its own, as a sweep of one process does, so that a
crash ends neither the worker nor the executor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jacengine._load_object import load_object
from jacengine.distributed.spread import Executor
from jacengine.errors import ArgumentError, kind_of
from jacengine.report.case import Case
from jacengine.report.machine import Machine
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.roofline import Roofline
from jacengine.sweep.signals import ignore_interrupts
from jacengine.sweep.worker_supervisor import WorkerSupervisor

POLL_S = 0.05
"""Seconds between two looks at what is finished."""


class Measured(NamedTuple):
    """A case, the seconds that it took, and where it was measured."""

    case: Case
    taken_s: float
    machine: Machine


def make_executor(place: str) -> Executor:
    """Make an executor by a class or a function without arguments.

    Args:
        place: Its place, as `MODULE:FACTORY`.

    Raises:
        ArgumentError: It makes something else.
    """
    found = load_object(place)()
    if not callable(getattr(found, "submit", None)):
        raise ArgumentError(
            f"{place!r} returned {kind_of(found)}; expected an executor, as "
            "concurrent.futures:ProcessPoolExecutor."
        )
    executor: Executor = found
    return executor


def measure_side_by_side(
    executor: Executor,
    specs: Sequence[CaseSpec],
    settings: Settings,
    limit_s: float,
    stop: threading.Event,
) -> Iterator[Measured]:
    """Have cases measured; those that have not begun when `stop` is set are left out.

    Yields:
        Each case when it is finished.
    """
    running: list[Any] = [
        executor.submit(measure_case, spec, settings, limit_s) for spec in specs
    ]
    try:
        while running:
            finished = [future for future in running if future.done()]
            running = [future for future in running if future not in finished]
            for future in finished:
                found: Measured = future.result()
                yield found
            if stop.is_set():
                running = [future for future in running if not future.cancel()]
            if not finished:
                time.sleep(POLL_S)
    finally:
        for future in running:
            future.cancel()


def measure_case(spec: CaseSpec, settings: Settings, limit_s: float) -> Measured:
    """Measure a case, in a worker of an executor."""
    begun = time.monotonic()
    with ignore_interrupts(), WorkerSupervisor(settings, limit_s) as supervisor:
        case = supervisor.measure(spec, lambda _: None)
    return Measured(case, time.monotonic() - begun, Machine.here())


def describe_worker(
    spec: CaseSpec, settings: Settings
) -> tuple[Machine, Roofline | None]:
    """Describe the machine of a worker, and measure its roofline."""
    with ignore_interrupts(), WorkerSupervisor(settings, 0) as supervisor:
        return Machine.here(), supervisor.roofline(spec.device, spec.threads)
