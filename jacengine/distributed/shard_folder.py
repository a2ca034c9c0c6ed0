"""A folder of shards, and a manifest that says what they are of.

A shard is written under another name and moved, so that it is whole or absent. What a
call has left is found again by reading the folder: which shards are there, and intact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jacengine._files import read_file, replace_file
from jacengine.distributed.shard_file import Shard, read_shard
from jacengine.errors import ArgumentError

MANIFEST = "manifest.json"
SUFFIX = ".safetensors"
LARGEST = 2**28
"""Bytes up to which a manifest is read."""


class ShardFolder:
    """The shards of one call.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, call: Mapping[str, Any]) -> None:
        """Create the folder, or open it again.

        Args:
            path: The folder.
            call: What it is to hold, in terms of JSON.

        Raises:
            ArgumentError: It holds shards of another call, or something else.
        """
        self.path = path
        self._call: dict[str, Any] = json.loads(json.dumps(call, default=repr))
        path.mkdir(parents=True, exist_ok=True)
        if not (path / MANIFEST).exists():
            if any(path.glob(f"*{SUFFIX}")):
                raise ArgumentError(
                    f"{path} has shards but no {MANIFEST}, so nobody knows what they "
                    "are of. Choose another folder=."
                )
            self._write({})
            return
        try:
            held = json.loads(read_file(path / MANIFEST, LARGEST))["call"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArgumentError(
                f"{path / MANIFEST} is damaged, so nobody knows what the shards are "
                "of. Choose another folder=."
            ) from error
        differing = [
            f"{name}: {held.get(name)!r} there, {value!r} here"
            for name, value in self._call.items()
            if held.get(name) != value
        ]
        if differing:
            raise ArgumentError(
                f"{path} holds pieces of another call ({'; '.join(differing)}). "
                "Choose another folder=, or make the same call to resume it."
            )

    def intact_parts(self) -> list[slice]:
        """Return the parts that are there and intact, in order."""
        found: list[slice] = []
        for file in self.path.glob(f"*{SUFFIX}"):
            try:
                shard = read_shard(file, verify=True)
            except (OSError, ValueError, KeyError, TypeError, RuntimeError):
                shard = None
            if shard is not None and shard.intact and self.file(shard.part) == file:
                found.append(shard.part)
        return _disjoint(found)

    def file(self, part: slice) -> Path:
        """Return the place of a shard."""
        return shard_path(self.path, part)

    def read(self, part: slice) -> Shard:
        """Read a shard that a worker has written.

        Raises:
            ArgumentError: It is not there.
        """
        try:
            return read_shard(self.file(part))
        except FileNotFoundError as error:
            raise ArgumentError(
                f"A worker has written {self.file(part)}, which is not there for this "
                "process. Choose a folder= that all of them share."
            ) from error

    def finish(self, parts: Iterable[slice]) -> None:
        """Describe all shards in the manifest, for other readers."""
        self._write({self.file(part).name: self.read(part).header for part in parts})

    def _write(self, shards: Mapping[str, Any]) -> None:
        content = {"call": self._call, "shards": shards}
        replace_file(self.path / MANIFEST, json.dumps(content, indent=1))


def shard_path(folder: Path, part: slice) -> Path:
    """Return the place of a shard in a folder."""
    return folder / f"{part.start:012d}-{part.stop:012d}{SUFFIX}"


def missing_parts(size: int, present: Iterable[slice]) -> list[slice]:
    """Return the gaps between parts of an axis, which are in order."""
    found: list[slice] = []
    position = 0
    for part in (*present, slice(size, size)):
        if position < part.start:
            found.append(slice(position, part.start))
        position = part.stop
    return found


def _disjoint(parts: Iterable[slice]) -> list[slice]:
    """Return parts that do not overlap, in order."""
    found: list[slice] = []
    for part in sorted(parts, key=lambda part: (part.start, -part.stop)):
        if not found or found[-1].stop <= part.start:
            found.append(part)
    return found
