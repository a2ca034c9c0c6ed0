"""A run that is stopped from outside: loops of other libraries know no progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn

from jacengine._torch_private import leave_forward_mode

_AGAIN_S = 2.0
"""An exception raised inside a destructor is lost; then it is raised once more."""


class DeadlineError(BaseException):
    """Raised in the middle of what takes too long.

    Not an `Exception`, so that what is stopped cannot mistake it for its own.
    """


@contextmanager
def deadline(limit_s: float) -> Generator[None]:
    """Stop what runs inside after a time, at the next instruction of Python.

    One call into a library is not cut short. Where there are no timers (Windows,
    threads beside the main one) nothing is stopped.

    Args:
        limit_s: Seconds, more than zero.

    Raises:
        DeadlineError: The time was over.
    """
    if not (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
    ):
        yield
        return

    def stop(*_: object) -> NoReturn:
        raise DeadlineError

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
        yield
    except DeadlineError:
        signal.setitimer(signal.ITIMER_REAL, 0)
        leave_forward_mode()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
