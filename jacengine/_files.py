"""Files that others may have tampered with: read and replaced without surprises."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PREFIX = ".jacengine-"
"""How names of temporary files begin."""


def replace_file(path: Path, text: str) -> None:
    """Replace a text file; see `replace_bytes`."""
    replace_bytes(path, lambda file: file.write(text.encode()))


def replace_bytes(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place and move it there, so readers see all or nothing.

    A symbolic link in its place is replaced, not followed, and nothing is left behind
    if the file cannot be written.
    """
    draft = path.parent / f"{PREFIX}{secrets.token_hex(8)}"
    try:
        with draft.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_file(path: Path, most: int, *, errors: str = "strict") -> str:
    """Read a regular file of at most so many bytes, with `errors` as `open` has them.

    Raises:
        OSError: It cannot be read, or is something else: a pipe would never end.
    """
    wait = getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | wait)
    with os.fdopen(descriptor, encoding="utf-8", errors=errors, newline="") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is no regular file", str(path))
        if status.st_size > most:
            raise OSError(None, "it is too large", str(path))
        return file.read()
