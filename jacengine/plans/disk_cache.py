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
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import platformdirs

from jacengine.errors import ArgumentError
from jacengine.interface import Composition
from jacengine.plans.serialization import LARGEST, from_json, read_key, to_json
from jacengine.selection.select import Selection
from jacengine.timing import format_seconds

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
        if place.stat().st_size > LARGEST:
            return None
        text = place.read_text(encoding="utf-8")
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
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=place.parent, suffix=".tmp", delete=False
        ) as file:
            file.write(to_json(selection, key))
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(place)
    except OSError as error:
        warnings.warn(
            f"jacengine: choices cannot be kept in {place.parent} ({error.strerror}); "
            f"they are found anew in each process. Set {VARIABLE} to another folder.",
            stacklevel=2,
        )


def described() -> Iterator[tuple[str, str, str, str]]:
    """Describe the choices: strategy, time, what for, file; `?` what is unreadable."""
    for file in _files():
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            first = document["candidates"][0]
            key = json.loads(document["key"])
            taken = first["time_s"]
            time = "" if taken is None else format_seconds(taken)
            yield str(first["strategy"]), time, ", ".join(key["leaves"]), file.name[:12]
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            yield "?", "", "", file.name[:12]


def clear() -> int:
    """Delete the files of the cache; return how many there were."""
    count = 0
    for file in _files():
        with contextlib.suppress(OSError):
            file.unlink()
            count += 1
    return count


def _files() -> list[Path]:
    where = folder()
    return [] if where is None else sorted(where.glob("*.json"))


def _place(key: str) -> Path | None:
    where = folder()
    name = hashlib.sha256(key.encode()).hexdigest()
    return None if where is None else where / f"{name}.json"
