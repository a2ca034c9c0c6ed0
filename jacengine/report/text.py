"""Foreign text: names and reasons that anybody may have written."""

from __future__ import annotations

import re
from pathlib import Path

_PART = r"[^\s/\\'\":,;()<>|]+(?: [^\s/\\'\":,;()<>|]+){0,2}"
"""The name of a folder, of up to three words."""
_FOLDERS = re.compile(rf"(?<![\w./\\~-])(?:file://|~)?/(?:{_PART}/)+")
_WINDOWS_FOLDERS = re.compile(rf"\b[A-Za-z]:\\(?:{_PART}\\)*")


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
