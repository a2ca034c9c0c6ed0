"""Torch's warnings of slow batching rules, ignored where jacengine runs a method.

A method is chosen by its time, and a user cannot act on them. Python's filters belong
to all threads, so the filter that is added here matches in the threads that run one.
"""

from __future__ import annotations

import threading
import warnings
from typing import cast

MESSAGE = "There is a performance drop"
"""How the warnings begin."""


class _Running(threading.local):
    """How many methods this thread is running."""

    depth: int = 0


RUNNING = _Running()


class _Matcher:
    """Matches messages as a compiled pattern does, in the threads that run a method."""

    def match(self, text: str) -> bool:
        """Tell whether to ignore a warning of this message."""
        return RUNNING.depth > 0 and text.startswith(MESSAGE)


_FILTER: object = ("ignore", cast("str", _Matcher()), UserWarning, cast("str", None), 0)


def ignore_slow_batching() -> None:
    """Put the filter in front, unless it is there; filters come and go with contexts.

    Changing filters has Python forget which warnings it has shown.
    """
    if not warnings.filters or warnings.filters[0] is not _FILTER:
        warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
