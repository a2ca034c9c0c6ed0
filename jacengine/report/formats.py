"""Numbers as people read them."""

from __future__ import annotations

from jacengine.measure import format_seconds
from jacengine.selection.budget import format_bytes

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""
TIMES = "\N{MULTIPLICATION SIGN}"


def seconds(value: float | None) -> str:
    """Write a time: `3.21 ms`."""
    if value is None:
        return NOTHING
    return format_seconds(value).replace(" us", " \N{MICRO SIGN}s")


def size(value: float | None) -> str:
    """Write a number of bytes: `179.2 MB`."""
    return NOTHING if value is None else format_bytes(value)


def ratio(value: float | None) -> str:
    """Write how many times as much: `1.23x`, `12.3x`, `123x`, with a real sign."""
    if value is None:
        return NOTHING
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f}{TIMES}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: `1 problem`, `2 problems`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
