"""The file that a sweep's cases are appended to, each on the disk before the next.

The first line says what the sweep is; every other line is a case. A sweep that was
killed leaves at worst half a line at the end, which is dropped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report
from jacengine.report.results import case_from_json, case_to_json
from jacengine.sweep.case_spec import Trial
from jacengine.sweep.manifest import Header

FILE = "results.jsonl"


@dataclass(frozen=True)
class Journal:
    """A sweep as far as it came.

    Attributes:
        header: What it is.
        cases: Those that are finished.
        damaged: How many lines could not be read; their cases are not finished.
    """

    header: Header
    cases: tuple[Case, ...]
    damaged: int = 0

    @property
    def left(self) -> tuple[Trial, ...]:
        """The cases that are not finished."""
        done = {case.name for case in self.cases}
        return tuple(trial for trial in self.header.trials if trial.name not in done)

    def report(self) -> Report:
        """Return what there is to report."""
        header, rates = self.header, self.header.rates
        order = {trial.name: place for place, trial in enumerate(header.trials)}
        cases = sorted(self.cases, key=lambda case: order.get(case.name, len(order)))
        return Report(
            tuple(cases),
            header.machine,
            header.command,
            len(header.trials),
            None if rates is None else rates.fill,
            None if rates is None else rates.matmul,
        )


def read_journal(folder: Path) -> Journal:
    """Read a sweep.

    Args:
        folder: Where it was written to.

    Raises:
        ArgumentError: There is none.
    """
    path = folder / FILE
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise ArgumentError(
            f"There is no sweep in {folder}: {FILE} cannot be read."
        ) from error
    *lines, torn = text.split("\n")
    header = Header.from_json(lines.pop(0) if lines else torn)
    cases: dict[str, Case] = {}
    damaged = 1 if torn else 0
    for line in filter(None, lines):
        try:
            case = case_from_json(line)
        except ArgumentError:
            damaged += 1
        else:
            cases.setdefault(case.name, case)
    return Journal(header, tuple(cases.values()), damaged)


class Writer:
    """Appends to a journal."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def append(self, case: Case) -> None:
        """Write a case, and wait until it is on the disk."""
        self.line(case_to_json(case))

    def line(self, text: str) -> None:
        """Write a line, and wait until it is on the disk."""
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def begun(folder: Path, header: Header) -> Generator[Writer]:
    """Begin a journal.

    Args:
        folder: Where; made if it is missing.
        header: What the sweep is.

    Yields:
        What appends to it.

    Raises:
        ArgumentError: There is one already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / FILE).open("xb") as file:
            writer = Writer(file)
            writer.line(header.to_json())
            yield writer
    except FileExistsError as error:
        raise ArgumentError(
            f"{folder} holds a sweep already. Resume it with --resume {folder}, choose "
            "another --out, or --replace it."
        ) from error


@contextlib.contextmanager
def resumed(folder: Path) -> Generator[Writer]:
    """Go on with a journal; half a line at its end is cut off."""
    with (folder / FILE).open("r+b") as file:
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        yield Writer(file)
