"""Work on a thread beside the user's calls, which ends when the process does."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

STOP_S = 10.0
"""Seconds that the end of the process waits for work to stop at most."""
AGAIN_S = 0.05
"""Seconds after which it is told again."""
_WORKING: set[tuple[threading.Thread, Future[Any]]] = set()


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
            _WORKING.discard((threading.current_thread(), future))

    thread = threading.Thread(target=work, name="jacengine", daemon=True)
    _WORKING.add((thread, future))
    thread.start()
    return future


@atexit.register
def _stop() -> None:
    """Raise `SystemExit` in what still works, until it has stopped."""
    until = time.monotonic() + STOP_S
    silent = sys.unraisablehook
    sys.unraisablehook = lambda _: None  # it may be raised where none can catch it
    try:
        while (left := tuple(_WORKING)) and time.monotonic() < until:
            for thread, _ in left:
                if thread.ident is not None:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
                    )
                thread.join(AGAIN_S)
    finally:
        sys.unraisablehook = silent


def _after_fork() -> None:
    """Tell a child process that what worked in its parent does not work in it."""
    for _, future in tuple(_WORKING):
        future.set_exception(RuntimeError("the process was forked meanwhile"))
    _WORKING.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
