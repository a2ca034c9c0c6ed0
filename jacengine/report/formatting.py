"""Formats of numbers, of names in sentences, and of foreign text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jacengine.selection.budget import format_bytes
from jacengine.timing import format_seconds

MISSING = "\N{EN DASH}"
"""Replaces a missing number."""
TIMES = "\N{MULTIPLICATION SIGN}"

_NAME_MARKS = re.compile("[\x02\x03]")
_PART = r"[^\s/\\'\":,;()<>|]+(?: [^\s/\\'\":,;()<>|]+){0,2}"
"""The name of a folder, of up to three words."""
_FOLDERS = re.compile(rf"(?<![\w./\\~-])(?:file://|~)?/(?:{_PART}/)+")
_WINDOWS_FOLDERS = re.compile(rf"\b[A-Za-z]:\\(?:{_PART}\\)*")


def seconds(value: float | None) -> str:
    """Format a time: `3.21 ms`."""
    if value is None:
        return MISSING
    return format_seconds(value).replace(" us", " \N{MICRO SIGN}s")


def size(value: float | None) -> str:
    """Format a number of bytes: `179.2 MB`."""
    return MISSING if value is None else format_bytes(value)


def ratio(value: float | None) -> str:
    """Format a factor: `1.23x`, `12.3x`, `123x`, with a multiplication sign."""
    if value is None:
        return MISSING
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f}{TIMES}"


def spread(times: Sequence[float]) -> str:
    """Format half of the interquartile range as a share of the median: `± 3 %`.

    Fewer than three times have none.
    """
    if len(times) < 3:
        return ""
    lower, middle, upper = np.quantile(times, (0.25, 0.5, 0.75))
    return f"± {percent((upper - lower) / 2 / middle)}" if middle else ""


def percent(share: float) -> str:
    """Format a share: `3 %`."""
    return f"{100 * share:.0f} %"


def rounded(value: float) -> str:
    """Format a number with two significant digits: `310`, `4,700`."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}".removesuffix(".0")


def count(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 problem`, `2 problems`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def name(text: str) -> str:
    """Mark the name of a method or a case within a sentence.

    The marks are control characters, which sanitized names do not contain.
    """
    return f"\x02{text}\x03"


def render_names(
    sentence: str,
    name_format: Callable[[str], str] = str,
    text_format: Callable[[str], str] = str,
) -> str:
    """Replace the marks of `name` in a sentence by a format's own.

    Args:
        sentence: A sentence with marked names.
        name_format: Formats a name.
        text_format: Formats the text between names.
    """
    parts = _NAME_MARKS.split(sentence)
    return "".join(
        (name_format if index % 2 else text_format)(part)
        for index, part in enumerate(parts)
    )


def enumerated(items: Sequence[str]) -> str:
    """Join with commas, and with `and` before the last: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def abbreviated(items: Sequence[str], limit: int = 5) -> str:
    """Join the first items and count the others: `a, b and 3 more`."""
    if len(items) > limit + 1:
        items = [*items[:limit], f"{len(items) - limit} more"]
    return enumerated(items)


def one_line(text: str) -> str:
    """Replace control characters and runs of white space by single blanks."""
    printable = (char if char.isprintable() else " " for char in text)
    return " ".join("".join(printable).split())


def truncated(text: str, width: int) -> str:
    """Truncate a text to a width, with an ellipsis."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def redact_folders(text: str) -> str:
    """Replace folders of absolute paths, which may be private, by an ellipsis."""
    for known in (Path.cwd(), Path.home()):
        if len(known.parts) > 1:
            text = text.replace(str(known), "/~")
    text = _WINDOWS_FOLDERS.sub("…/", _FOLDERS.sub("…/", text))
    return text.replace("/~", "…")


def visible(text: str) -> str:
    r"""Write control characters as `\x1b`: a terminal would obey them."""
    return "".join(
        char if char.isprintable() or char == "\n" else repr(char)[1:-1]
        for char in text
    )
