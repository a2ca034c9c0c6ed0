"""Where commands write: data to standard output, everything else beside it."""

from __future__ import annotations

import sys

from rich.console import Console

from jacengine.selection.explain import WIDTH


def output() -> Console:
    """Return the console for data."""
    return _sized(Console(highlight=False))


def aside() -> Console:
    """Return the console for everything that is not data."""
    return _sized(Console(stderr=True, highlight=False))


def animated() -> bool:
    """Whether lines may be rewritten: colour may be forced, a terminal cannot."""
    console = Console(stderr=True)
    return sys.stderr.isatty() and not console.is_dumb_terminal


def _sized(console: Console) -> Console:
    if not console.is_terminal:
        console.width = WIDTH
    return console
