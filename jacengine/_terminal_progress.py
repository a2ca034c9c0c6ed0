"""Progress in a terminal: what takes longer than two seconds, on standard error."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import IO, TYPE_CHECKING

from jacengine._progress import ProgressEvent, Stage

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

AFTER_S, EACH_S = 2.0, 1.0
"""Seconds after which something is shown, and between two looks at the clock."""
TITLES: dict[Stage, str] = {
    "selection": "choosing a method",
    "compilation": "compiling",
    "background compilation": "compiling beside the calls",
    "blocks": "blocks",
    "jacobian": "computing the Jacobian",
}
HINTS: dict[Stage, str] = {
    "selection": "A method is chosen once for each function and signature; "
    "effort='none' or fewer strategies= shorten that.",
    "compilation": "Compiling takes some seconds, once; compiled=False turns it off.",
    "background compilation": "Calls have taken as long as compiling is expected to: "
    "the fastest methods are compiled beside them. compiled=False turns that off.",
}
"""What to know about a stage: written once in a process."""
_Key = tuple[int, Stage]


class TerminalProgress:
    """Shows the stages that go on, a line each, which disappear in the end.

    A thread that looks at the clock runs only while something else than a Jacobian goes
    on. It draws once a second: more would disturb the times of a selection.
    """

    def __init__(self, stream: IO[str]) -> None:
        """Show progress on a terminal."""
        self._stream = stream
        self._said: set[Stage] = set()
        self._reset()
        if hasattr(os, "register_at_fork"):  # the thread is not there in a child
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._stages: dict[_Key, tuple[float, ProgressEvent]] = {}
        self._tasks: dict[_Key, TaskID] = {}
        self._shown: Progress | None = None
        self._over: threading.Event | None = None
        self._drawn = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        """Take an event of the core; draw what is due."""
        key: _Key = threading.get_ident(), event.stage
        now = time.monotonic()
        with self._lock, contextlib.suppress(OSError, ValueError):  # it may be closed
            if event.stage == "background compilation":
                self._hint(event.stage)
            elif event.ended:
                self._end(key)
            else:
                new = key not in self._stages
                self._stages[key] = now - event.elapsed_s, event
                if event.elapsed_s >= AFTER_S:
                    if new or now - self._drawn >= EACH_S / 4:
                        self._draw()
                elif new and self._over is None and event.stage != "jacobian":
                    self._start_clock()

    def _end(self, key: _Key) -> None:
        """Remove a stage, and what is drawn if it was the last one."""
        self._stages.pop(key, None)
        if self._stages:
            if self._shown is not None:
                self._draw()
            return
        shown, self._shown, self._tasks = self._shown, None, {}
        if self._over is not None:
            self._over.set()
            self._over = None
        if shown is not None:
            shown.stop()

    def _start_clock(self) -> None:
        over = self._over = threading.Event()

        def run() -> None:
            wait_s = AFTER_S
            while not over.wait(wait_s):
                wait_s = EACH_S
                with self._lock, contextlib.suppress(OSError, ValueError):
                    if not over.is_set():
                        self._draw()

        threading.Thread(target=run, name="jacengine progress", daemon=True).start()

    def _draw(self) -> None:
        """Draw a line for each stage."""
        from rich.markup import escape  # noqa: PLC0415 - slow, and rarely needed

        shown = self._shown or self._show()
        for key in self._tasks.keys() - self._stages.keys():
            shown.remove_task(self._tasks.pop(key))
        now = self._drawn = time.monotonic()
        for key, (begun, event) in self._stages.items():
            self._hint(event.stage)
            name = " ".join(filter(None, (TITLES[event.stage], event.detail)))
            title = escape(f"jacengine: {name}  {now - begun:.0f} s")
            if key not in self._tasks:
                self._tasks[key] = shown.add_task(title, total=event.total)
            task = self._tasks[key]
            shown.update(task, description=title, completed=event.done)
        shown.refresh()

    def _show(self) -> Progress:
        """Begin to draw."""
        from rich.console import Console  # noqa: PLC0415 - slow, and rarely needed
        from rich.progress import BarColumn, Progress  # noqa: PLC0415

        self._shown = Progress(
            "{task.description}",
            BarColumn(),
            console=Console(file=self._stream, highlight=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shown.start()
        return self._shown

    def _hint(self, stage: Stage) -> None:
        """Write what to know about a stage, above of what is drawn."""
        if stage not in HINTS or stage in self._said:
            return
        self._said.add(stage)
        line = f"jacengine: {HINTS[stage]}"
        if self._shown is not None:
            self._shown.console.print(line, style="dim", soft_wrap=True)
        else:
            self._stream.write(f"{line}\n")
