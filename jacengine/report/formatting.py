"""How things are written: numbers, names in sentences, and text of others."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from jacengine.selection.budget import format_bytes
from jacengine.timing import format_seconds

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""
TIMES = "\N{MULTIPLICATION SIGN}"

_PART = r"[^\s/\\'\":,;()<>|]+(?: [^\s/\\'\":,;()<>|]+){0,2}"
"""The name of a folder, of up to three words."""
_FOLDERS = re.compile(rf"(?<![\w./\\~-])(?:file://|~)?/(?:{_PART}/)+")
_WINDOWS_FOLDERS = re.compile(rf"\b[A-Za-z]:\\(?:{_PART}\\)*")


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


def percent(share: float) -> str:
    """Write a share: `3 %`."""
    return f"{100 * share:.0f} %"


def rounded(value: float) -> str:
    """Write a number to two digits: `310`, `4,700`."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}".removesuffix(".0")


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: `1 problem`, `2 problems`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


class Name(str):
    """A part of a sentence that is the name of a strategy or a case."""

    __slots__ = ()


Sentence = tuple[str, ...]
"""Its parts in order; those that are names are `Name`s."""


def listed(names: Iterable[str]) -> Sentence:
    """List names: `a, b and c`."""
    return joined([(name,) for name in names])


def few(names: Sequence[str], most: int = 5) -> Sentence:
    """List some names, and count the others: `a, b and 3 more`."""
    if len(names) <= most + 1:
        return listed(names)
    left = f"{len(names) - most} more"
    return joined([*((name,) for name in names[:most]), (left,)])


def joined(items: Sequence[Sentence], *, between: str = ", ") -> Sentence:
    """Join with commas, or something else, and `and` before the last."""
    last = " and " if between == ", " else between
    separators = [between] * (len(items) - 2) + [last] * (len(items) > 1)
    pairs = zip(items, [*separators, ""], strict=False)
    parts = chain.from_iterable((*item, separator) for item, separator in pairs)
    return tuple(part for part in parts if part)


def one_line(text: str) -> str:
    """Replace control characters, line ends and runs of blanks by single blanks."""
    printable = (char if char.isprintable() else " " for char in text)
    return " ".join("".join(printable).split())


def clipped(text: str, width: int) -> str:
    """Cut a text to a width, with an ellipsis for what is left out."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def without_paths(text: str) -> str:
    """Replace folders of absolute paths by an ellipsis: they tell whose they are."""
    for known in (Path.cwd(), Path.home()):
        if len(known.parts) > 1:
            text = text.replace(str(known), "/~")
    text = _WINDOWS_FOLDERS.sub("…/", _FOLDERS.sub("…/", text))
    return text.replace("/~", "…")
