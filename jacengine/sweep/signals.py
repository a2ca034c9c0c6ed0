"""Ctrl-C during a sweep: once to stop after the running case, twice to stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def graceful_stop(notify: Callable[[], None]) -> Generator[threading.Event]:
    """Handle SIGINT and SIGTERM as requests to stop; the second one raises.

    Args:
        notify: Called at the first signal.

    Yields:
        An event that the first signal sets.

    Raises:
        KeyboardInterrupt: A second signal came.
    """
    stop = threading.Event()

    def handle(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        notify()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ignore_interrupts() -> Generator[None]:
    """Ignore Ctrl-C, which is for the process that waits for this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
