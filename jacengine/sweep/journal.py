"""The journal of a sweep: a file that every finished case is appended to and synced.

The first line is the manifest; every other line is a case. A sweep that was killed
leaves at most one partial line at the end, which is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from jacengine._files import read_file
from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report
from jacengine.report.machine import Machine
from jacengine.report.results import case_from_json, case_to_json
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.roofline import Roofline

FILE = "results.jsonl"
LARGEST = 2**30
"""Bytes up to which a journal is read."""
SCHEMA = 2
"""The version of the layout."""


@dataclass(frozen=True)
class Manifest:
    """What a sweep measures, and where.

    Attributes:
        options: The options of the command that started it, to resume it with.
        settings: How cases are measured.
        cases: All cases, in order.
        machine: The machine.
        command: The command that started it.
        roofline: The rates of the device, if they were measured.
    """

    options: Mapping[str, Any]
    settings: Settings
    cases: tuple[CaseSpec, ...]
    machine: Machine
    command: str
    roofline: Roofline | None = None

    def to_json(self) -> str:
        """Write it as one line, without the line end."""
        return json.dumps({"sweep": SCHEMA, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Manifest:
        """Read the output of `to_json`.

        Raises:
            ArgumentError: It is something else, or of another version.
        """
        try:
            content = json.loads(line)
            schema = content.pop("sweep")
            if schema == SCHEMA:
                content["settings"] = Settings.from_json(content["settings"])
                content["cases"] = tuple(CaseSpec(**spec) for spec in content["cases"])
                content["machine"] = Machine(**content["machine"])
                roofline = content["roofline"]
                content["roofline"] = None if roofline is None else Roofline(**roofline)
                return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(
                "The sweep's first line is damaged: it does not say what was measured. "
                "Start a new sweep in another folder."
            ) from error
        raise ArgumentError(
            f"This sweep has layout {schema!r}; this version of jacengine reads "
            f"{SCHEMA}. Use the version that wrote it."
        )


@dataclass(frozen=True)
class Journal:
    """A complete or partial sweep, as read from its file.

    Attributes:
        manifest: What the sweep measures.
        cases: The finished cases.
        damaged: The number of unreadable lines; their cases count as not finished.
    """

    manifest: Manifest
    cases: tuple[Case, ...]
    damaged: int = 0

    @property
    def remaining(self) -> tuple[CaseSpec, ...]:
        """The cases that are not finished."""
        done = {case.name for case in self.cases}
        return tuple(spec for spec in self.manifest.cases if spec.name not in done)

    def report(self) -> Report:
        """Return the report of the finished cases, in the order of the sweep."""
        manifest, roofline = self.manifest, self.manifest.roofline
        order = {spec.name: place for place, spec in enumerate(manifest.cases)}
        cases = sorted(self.cases, key=lambda case: order.get(case.name, len(order)))
        return Report(
            tuple(cases),
            manifest.machine,
            manifest.command,
            len(manifest.cases),
            None if roofline is None else roofline.fill,
            None if roofline is None else roofline.matmul,
        )


def read_journal(folder: Path) -> Journal:
    """Read a sweep.

    Raises:
        ArgumentError: There is no journal, or its manifest is damaged.
    """
    try:
        text = read_file(folder / FILE, LARGEST, errors="replace")
    except OSError as error:
        raise ArgumentError(
            f"There is no sweep in {folder}: {FILE} cannot be read."
        ) from error
    *lines, partial = text.split("\n")
    manifest = Manifest.from_json(lines.pop(0) if lines else partial)
    cases: dict[str, Case] = {}
    damaged = 1 if partial else 0
    for line in filter(None, lines):
        try:
            case = case_from_json(line)
        except ArgumentError:
            damaged += 1
        else:
            cases.setdefault(case.name, case)
    return Journal(manifest, tuple(cases.values()), damaged)


class JournalWriter:
    """Appends cases to a journal."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def append(self, case: Case) -> None:
        """Write a case, and wait until it is on the disk."""
        self.write_line(case_to_json(case))

    def write_line(self, text: str) -> None:
        """Write a line, and wait until it is on the disk."""
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def create_journal(folder: Path, manifest: Manifest) -> Generator[JournalWriter]:
    """Create a journal, and its folder if that is missing.

    Yields:
        The writer.

    Raises:
        ArgumentError: The folder has a journal already, or another process makes one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _alone(folder), (folder / FILE).open("xb") as file:
            writer = JournalWriter(file)
            writer.write_line(manifest.to_json())
            yield writer
    except FileExistsError as error:
        raise ArgumentError(
            f"{folder} holds a sweep already. Resume it with --resume {folder}, choose "
            "another --out, or --replace it."
        ) from error


@contextlib.contextmanager
def resume_journal(folder: Path) -> Generator[JournalWriter]:
    """Open a journal to append to it; a partial line at its end is removed.

    Yields:
        The writer.

    Raises:
        ArgumentError: Another process writes to it.
    """
    with _alone(folder), (folder / FILE).open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        yield JournalWriter(file)


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold the sweep in a folder, so that no other process writes to it.

    Raises:
        ArgumentError: One does, or the journal is a link to another place.
    """
    if (folder / FILE).is_symlink():
        raise ArgumentError(
            f"{folder / FILE} is a symbolic link, which is not followed."
        )
    lock = FileLock(folder / f"{FILE}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ArgumentError(
            f"Another process is measuring into {folder}. Wait until it has finished, "
            "or choose another folder."
        ) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
