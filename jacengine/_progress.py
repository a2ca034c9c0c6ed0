"""Progress of what may take long: the core reports, whoever listens shows it.

A listener belongs to a context (`contextvars`), so threads and tasks have their own.
Without one, a terminal on standard error shows what takes longer than two seconds.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

Stage = Literal[
    "selection", "compilation", "background compilation", "blocks", "jacobian"
]
"""What goes on: a choice of a method, compilation (in the call that waits, or beside
the calls), pieces of `blocks` or of a large `out=`, one Jacobian."""
INTERVAL_S = 0.05
"""Seconds between two events of one Jacobian at least."""


class ProgressEvent(NamedTuple):
    """How far something has come.

    Stages may be nested: `"blocks"` contains a `"selection"`, for example.

    Attributes:
        stage: `"selection"`, `"compilation"`, `"background compilation"`, `"blocks"` or
            `"jacobian"`.
        done: How much of `total` is done.
        total: Methods of a selection, entries along the axis of blocks, 1 of a
            Jacobian; `None` if it is not known.
        detail: What runs now, such as the name of a method.
        elapsed_s: Seconds since the stage has begun.
        ended: Whether it is the last event of the stage, which may have failed.
    """

    stage: Stage
    done: float
    total: float | None = None
    detail: str = ""
    elapsed_s: float = 0.0
    ended: bool = False


Listener = Callable[[ProgressEvent], object]
Report = Callable[[float, str], object]
"""Tells how much is done, and what runs now."""

_LISTENER = ContextVar[Listener | None | Literal["terminal"]](
    "jacengine_progress", default="terminal"
)
_terminal: tuple[object, Listener | None] = (None, None)
"""The last standard error that was looked at, and what shows progress there."""


def listener() -> Listener | None:
    """Return who listens, `None` if nobody does."""
    found = _LISTENER.get()
    if found != "terminal":
        return found
    stream, shown = _terminal
    return shown if stream is sys.stderr else _terminal_of(sys.stderr)


def _terminal_of(stream: Any) -> Listener | None:
    """Return what shows progress on a stream; `None` if that is no terminal."""
    global _terminal  # noqa: PLW0603 - a look at the stream takes a microsecond
    shown: Listener | None = None
    if stream is not None and not stream.closed and stream.isatty():
        from jacengine._terminal_progress import TerminalProgress  # noqa: PLC0415

        shown = TerminalProgress(stream)
    _terminal = stream, shown
    return shown


@contextmanager
def stage(
    name: Stage, total: float | None = None, done: float = 0, elapsed_s: float = 0.0
) -> Generator[Report]:
    """Tell whoever listens that something begins, goes on, and ends.

    Args:
        name: What.
        total: Where it ends, if that is known.
        done: Where it begins, if something of it has been done before.
        elapsed_s: Seconds that this has taken.

    Yields:
        What reports its progress.
    """
    listen = listener()
    if listen is None:
        yield _ignore
        return
    begun = time.monotonic() - elapsed_s

    def report(now: float, detail: str = "", *, ended: bool = False) -> None:
        nonlocal done
        done = now
        taken = time.monotonic() - begun
        listen(ProgressEvent(name, done, total, detail, taken, ended))

    report(done)
    try:
        yield report
    finally:
        report(done, ended=True)


def _ignore(done: float, detail: str = "") -> None:
    """Nobody listens."""


def tell(name: Stage) -> None:
    """Tell whoever listens of something that nobody waits for."""
    listen = listener()
    if listen is not None:
        listen(ProgressEvent(name, 0, ended=True))


class JacobianProgress:
    """The progress of one Jacobian, of several tasks: begun, and ended by its user."""

    def __init__(self, listen: Listener) -> None:
        """Begin."""
        self._listen = listen
        self._begun = self._last = time.monotonic()
        self._done: float | None = None

    def __call__(self, _: object, done: float) -> None:
        """Report the share that is done; most of these events are left out."""
        now = time.monotonic()
        if self._done is not None:
            self._done = done
        if done < 1 and now - self._last >= INTERVAL_S:
            self._last, self._done = now, done
            self._listen(ProgressEvent("jacobian", done, 1, "", now - self._begun))

    def end(self) -> None:
        """Report the end, if anything was reported before."""
        if self._done is not None:
            taken = time.monotonic() - self._begun
            self._listen(ProgressEvent("jacobian", self._done, 1, "", taken, True))


def jacobian_progress() -> JacobianProgress | None:
    """Begin to report the progress of a Jacobian; `None` if nobody listens."""
    listen = listener()
    return None if listen is None else JacobianProgress(listen)


class _Callback:
    """A listener of the user's: what it raises must not change a result."""

    def __init__(self, call: Listener) -> None:
        self._call = call
        self.error: Exception | None = None

    def __call__(self, event: ProgressEvent) -> None:
        if self.error is None:
            try:
                self._call(event)
            except Exception as error:
                self.error = error


@contextmanager
def progress(callback: Listener | None) -> Generator[None]:
    """Have the progress of what is computed inside reported to a function.

    Without this, what takes longer than two seconds is shown in a terminal, on standard
    error, and nowhere else. Choosing a method, compiling, the pieces of `blocks` and of
    a large `out=`, and a Jacobian that takes several passes are reported.

    Args:
        callback: Called with each `ProgressEvent`, on the thread that computes. What it
            raises is a warning at the end, and it is not called again; a
            `KeyboardInterrupt` ends the computation. `None` shows nothing at all.

    Examples:
        >>> import torch, jacengine
        >>> stages = []
        >>> with jacengine.progress(lambda event: stages.append(event.stage)):
        ...     plan = jacengine.plan(torch.sin, torch.ones(3))
        >>> stages[0]
        'selection'
    """
    heard = None if callback is None else _Callback(callback)
    token = _LISTENER.set(heard)
    try:
        yield
    finally:
        _LISTENER.reset(token)
        if heard is not None and heard.error is not None:
            error = heard.error
            warnings.warn(
                "jacengine: the callback of progress() raised "
                f"{type(error).__name__}: {error}. It was not called again.",
                stacklevel=3,
            )
