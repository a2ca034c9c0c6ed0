"""What cannot run in several threads at once takes turns."""

from __future__ import annotations

import os
import threading

from jacengine._torch_private import leave_forward_mode

TORCH_GLOBAL_LOCK = threading.RLock()
"""Held by forward-mode AD (wrong values and crashes in torch 2.13); by functions whose
random numbers or buffers are put back before each pass, which belong to all threads; by
compiled programs, whose guards look at modules; while settings of torch are changed,
which two threads would put back in the wrong order; and while a module is not as its
user made it, with hooks: another thread would take them for the module's own."""


def lock() -> threading.Lock:
    """Make a lock that a child process has anew: its holder may not be there."""
    made = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made._at_fork_reinit)  # type: ignore[attr-defined]
    return made


def _after_fork() -> None:
    """Leave what another thread of the parent had entered, in the child process."""
    if TORCH_GLOBAL_LOCK.acquire(blocking=False):  # it was free, or this thread's own
        TORCH_GLOBAL_LOCK.release()
    else:
        TORCH_GLOBAL_LOCK._at_fork_reinit()  # type: ignore[attr-defined]
        leave_forward_mode()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
