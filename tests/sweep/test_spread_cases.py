"""Cases measured by workers of an executor, and left out when the sweep is stopped."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from jacengine.errors import ArgumentError
from jacengine.sweep import spread_cases
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.spread_cases import Measured, make_executor, measure_side_by_side
from tests.sweep.build import MACHINE, case
from tests.sweep.fakes import pool

SPECS = [CaseSpec(name, 2) for name in ("one", "crashes", "two")]


class Queue(Executor):
    """Leaves it to the test what is finished when."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *_: Any, **__: Any) -> Future[Any]:
        assert fn is spread_cases.measure_case
        self.futures.append(Future())
        return self.futures[-1]


def measured(name: str) -> Measured:
    return Measured(case(name), 1.0, MACHINE)


def test_cases_come_as_they_finish_and_pending_ones_are_left_out() -> None:
    queue, stop = Queue(), threading.Event()
    cases = measure_side_by_side(queue, SPECS, Settings(), 9.0, stop)
    started = threading.Timer(0.1, lambda: queue.futures[2].set_result(measured("two")))
    started.start()
    assert next(cases) == measured("two")
    first, second, _ = queue.futures
    assert first.set_running_or_notify_cancel()
    stop.set()
    threading.Timer(0.2, lambda: first.set_result(measured("one"))).start()
    assert list(cases) == [measured("one")]
    assert second.cancelled()


def test_pending_cases_are_cancelled_at_the_second_ctrl_c() -> None:
    queue = Queue()
    cases = measure_side_by_side(queue, SPECS, Settings(), 9.0, threading.Event())
    threading.Timer(
        0.1, lambda: queue.futures[0].set_exception(KeyboardInterrupt())
    ).start()
    with pytest.raises(KeyboardInterrupt):
        next(cases)
    assert [future.cancelled() for future in queue.futures[1:]] == [True, True]


def test_what_is_no_executor() -> None:
    with pytest.raises(ArgumentError, match="returned a"):
        make_executor("collections:OrderedDict")


def test_a_crash_ends_no_worker() -> None:
    settings = Settings(
        strategies=("vmap_vjp",), peers=False, catalogue="tests.sweep.fakes:HARMFUL"
    )
    with pool() as executor:
        found = {
            measured.case.name: measured.case
            for measured in measure_side_by_side(
                executor, SPECS[:2], settings, 60.0, threading.Event()
            )
        }
    assert "last words" in found["crashes/2"].failure
    assert [row.strategy for row in found["one/2"].rows if row.outcome == "ok"]
