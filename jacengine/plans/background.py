"""Work on a thread beside the user's calls, which ends when the process does."""

from __future__ import annotations

import atexit
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

STOP_S = 10.0
"""Seconds that the end of the process waits for work to stop at most."""
_WORKING: set[threading.Thread] = set()


def on_a_thread(run: Callable[[], T]) -> Future[T]:
    """Run something on another thread.

    At the end of the process it is stopped: a thread that goes on meanwhile is
    terminated inside of C++ code, and the process with it.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except BaseException as error:  # it is told to whoever asks for the result
            future.set_exception(error)
        finally:
            _WORKING.discard(threading.current_thread())

    thread = threading.Thread(target=work, name="jacengine", daemon=True)
    _WORKING.add(thread)
    thread.start()
    return future


@atexit.register
def _stop() -> None:
    """Raise `SystemExit` in what still works, and wait until it has stopped."""
    for thread in tuple(_WORKING):
        if thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            )
    for thread in tuple(_WORKING):
        thread.join(STOP_S)
