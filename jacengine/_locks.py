"""What cannot run in several threads at once takes turns."""

from __future__ import annotations

import threading

TORCH_GLOBAL_LOCK = threading.RLock()
"""Held by forward-mode AD (wrong values and crashes in torch 2.13); by functions whose
random numbers or buffers are put back before each pass, which belong to all threads; by
compiled programs, whose guards look at modules; while settings of torch are changed,
which two threads would put back in the wrong order; and while a module is not as its
user made it, with hooks: another thread would take them for the module's own."""
