"""One line on stderr, once, where something takes longer than its user expects."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

AFTER_S = 1.0
"""Seconds after which a user is told what goes on."""
SELECTION = (
    "the choice of a method takes longer than a second. It is made once for each "
    "function and signature; effort='none' or fewer strategies= shorten it."
)
COMPILATION = (
    "the fastest methods are compiled now, which takes some seconds; compiled=False "
    "turns that off."
)
BESIDE = (
    "calls have taken as long as compiling is expected to: the fastest methods are "
    "compiled beside them. compiled=False turns that off."
)
_SAID: set[str] = set()


def say_once(message: str) -> None:
    """Write a line to stderr, unless this process has written it before."""
    if message not in _SAID and sys.stderr is not None:
        _SAID.add(message)
        sys.stderr.write(f"jacengine: {message}\n")


@contextmanager
def saying(message: str) -> Generator[None]:
    """Say once what goes on inside, if that takes longer than a second."""
    if message in _SAID:
        yield
        return
    timer = threading.Timer(AFTER_S, say_once, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
