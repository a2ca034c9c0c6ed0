"""Ctrl-C during a sweep: once to stop after this case, twice to stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


class Interruption:
    """Whether somebody wants the sweep to end.

    Attributes:
        wanted: Whether it should.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        """Prepare.

        Args:
            tell: Called when the first signal comes.
        """
        self.wanted = False
        self._tell = tell

    def request(self) -> None:
        """Ask for the end; the second time at once.

        Raises:
            KeyboardInterrupt: It was asked for before.
        """
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        self._tell()


@contextmanager
def interruptible(tell: Callable[[], None]) -> Generator[Interruption]:
    """Take SIGINT and SIGTERM as requests to end.

    Args:
        tell: Called when the first one comes.

    Yields:
        Whether one came.
    """
    interruption = Interruption(tell)
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {
        number: signal.signal(number, lambda *_: interruption.request())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
