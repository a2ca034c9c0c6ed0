"""Parts of an axis, computed by an executor."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from jacengine._progress import stage
from jacengine.errors import MemoryBudgetError
from jacengine.plans.blockwise import halves


class Executor(Protocol):
    """What `concurrent.futures.Executor` has, and executors of other libraries.

    What `submit` returns has `result()` and `cancel()`.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Have a function called somewhere."""


Submit = Callable[[slice], Any]
"""Has a part computed; returns what has `result()` and `cancel()`."""


def in_order(
    submit: Submit, parts: Sequence[slice], *, window: int, title: str
) -> Iterator[tuple[slice, Any, int]]:
    """Have parts computed, those that do not fit in halves; cancel what is left over.

    Args:
        submit: Has a part computed.
        parts: The parts, in order.
        window: How many may be under way, or done and not yet taken.
        title: What they are parts of, for errors.

    Yields:
        Each part in order, its result, and how many parts are still to come.

    Raises:
        MemoryBudgetError: A part of a single entry does not fit.
        Exception: Whatever a worker raises, with a note that names the part.
    """
    waiting, begun = deque(parts), time.monotonic()
    running = deque[tuple[slice, Any]]()
    size = parts[-1].stop if parts else 0
    try:
        while waiting or running:
            while waiting and len(running) < window:
                part = waiting.popleft()
                running.append((part, submit(part)))
            part, future = running[0]
            taken = time.monotonic() - begun
            try:
                with stage("blocks", size, part.start, taken):
                    found = future.result()
            except Exception as error:
                if isinstance(error, MemoryBudgetError) and len(halves(part)) > 1:
                    running.popleft()
                    again = [(half, submit(half)) for half in halves(part)]
                    running.extendleft(reversed(again))
                    continue
                error.add_note(f"This is from {title}, {part.start} to {part.stop}.")
                raise
            running.popleft()
            yield part, found, len(running) + len(waiting)
    finally:
        for _, future in running:
            future.cancel()
