"""The disk cache of choices: one JSON file a key.

Files are written beside their place and moved over it, so readers see a whole file or
none, and of several writers the last one stays. Nothing in the folder can raise or
answer wrongly: a damaged or foreign file is a miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import platformdirs

from jacengine._files import read_file, replace_file
from jacengine.errors import ArgumentError
from jacengine.interface import Composition
from jacengine.plans.serialization import LARGEST, from_json, read_key, to_json
from jacengine.selection.select import BUSY, Selection
from jacengine.timing import format_seconds

_NAME = re.compile(r"[0-9a-f]{64}\.json")
"""The names of files in the cache."""
_UNWRITABLE: set[Path] = set()
"""Folders that were found not to be writable, which is told once."""
VARIABLE = "JACENGINE_CACHE_DIR"
"""Environment variable that names another folder; empty: no cache on disk."""


def folder() -> Path | None:
    """Return where choices are kept, `None` if nowhere."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return Path(platformdirs.user_cache_dir("jacengine", appauthor=False))


def find(key: str, compositions: Sequence[Composition]) -> Selection | None:
    """Look a choice up; `None` if there is none that can be read."""
    place = _place(key)
    if place is None:
        return None
    try:
        text = read_file(place, LARGEST)
        if read_key(text) != key:
            return None
        found = from_json(text, compositions)
    except (OSError, UnicodeDecodeError, ArgumentError):
        return None
    return found if found.ranked and found.ranked[0].method is not None else None


def keep(key: str, selection: Selection) -> None:
    """Store a choice; warns once if the folder cannot be written."""
    place = _place(key)
    if place is None:
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, to_json(selection, key))
    except OSError as error:
        if place.parent in _UNWRITABLE:
            return
        _UNWRITABLE.add(place.parent)
        warnings.warn(
            f"jacengine: choices cannot be kept in {place.parent} ({error.strerror}); "
            f"they are found anew in each process. Set {VARIABLE} to another folder.",
            stacklevel=2,
        )


class Entry(NamedTuple):
    """A choice on disk, for people.

    Attributes:
        strategy: What was chosen; `?` if the file is unreadable.
        time: What it takes.
        arguments: What it was chosen for.
        file: The beginning of the file's name.
        unstable: Whether other work disturbed the times, so that it is measured again
            once the machine is quiet.
    """

    strategy: str
    time: str
    arguments: str
    file: str
    unstable: bool = False


def described() -> Iterator[Entry]:
    """Describe the choices."""
    for file in _files():
        try:
            document = json.loads(read_file(file, LARGEST))
            first = document["candidates"][0]
            key = json.loads(document["key"])
            taken = first["time_s"]
            yield Entry(
                str(first["strategy"]),
                "" if taken is None else format_seconds(taken),
                ", ".join(key["leaves"]),
                file.name[:12],
                float(document.get("load", 0.0)) > BUSY,
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            yield Entry("?", "", "", file.name[:12])


def clear() -> int:
    """Delete the files of the cache, and no others; return how many there were."""
    count = 0
    for file in _files():
        with contextlib.suppress(OSError):
            file.unlink()
            count += 1
    return count


def _files() -> list[Path]:
    where = folder()
    if where is None or not where.is_dir():
        return []
    found = (path for path in where.iterdir() if _NAME.fullmatch(path.name))
    return sorted(path for path in found if stat.S_ISREG(path.lstat().st_mode))


def _place(key: str) -> Path | None:
    where = folder()
    name = hashlib.sha256(key.encode()).hexdigest()
    return None if where is None else where / f"{name}.json"
