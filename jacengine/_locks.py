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

SELECTION_LOCK = threading.RLock()
"""Held by a selection; what it runs holds the other lock by itself, where it has to, so
that other threads' calls go on."""


def lock() -> threading.Lock:
    """Make a lock that a child process has anew: its holder may not be there."""
    made = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=made._at_fork_reinit)  # type: ignore[attr-defined]
    return made


def _after_fork() -> None:
    """Leave what another thread of the parent had entered, in the child process."""
    if _renewed(TORCH_GLOBAL_LOCK):
        leave_forward_mode()
    _renewed(SELECTION_LOCK)


def _renewed(held: threading.RLock) -> bool:
    """Make a lock anew that another thread holds; tell whether one did."""
    if held.acquire(blocking=False):  # it was free, or this thread's own
        held.release()
        return False
    held._at_fork_reinit()  # type: ignore[attr-defined]
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
