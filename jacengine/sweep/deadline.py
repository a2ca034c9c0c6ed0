"""A deadline for code that reports no progress, such as loops of other libraries."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import NoReturn

from jacengine._torch_private import (
    leave_forward_mode,
    leave_transforms,
    transform_depth,
)

_REPEAT_S = 2.0
"""An exception raised inside a destructor is lost; then it is raised again."""


class DeadlineError(BaseException):
    """Raised inside code that exceeds its deadline.

    Not an `Exception`, so that the code that is stopped does not handle it.
    """


@contextmanager
def deadline(limit_s: float) -> Generator[None]:
    """Stop the code inside after a time, at the next Python instruction.

    One call into a library is not interrupted. Without timers (on Windows, in threads
    other than the main one) nothing is stopped.

    Args:
        limit_s: Seconds, more than zero.

    Raises:
        DeadlineError: The time is over.
    """
    if not (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
    ):
        yield
        return

    fired = False

    def stop(*_: object) -> NoReturn:
        nonlocal fired
        fired = True
        raise DeadlineError

    depth = transform_depth()
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s, _REPEAT_S)
        yield
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not fired:
            raise
        leave_transforms(depth)
        leave_forward_mode()
        # An interrupted transform may hide it behind an error of its own.
        raise DeadlineError from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
