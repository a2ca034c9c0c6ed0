"""Finished runs, as files or folders, read for a comparison or a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report
from jacengine.report.results import read_results
from jacengine.sweep.environment import other_machine
from jacengine.sweep.journal import FILE, read_journal
from jacengine.sweep.merge import OtherMachineError


def read_run(path: Path) -> Report:
    """Read a run.

    Args:
        path: The folder of a sweep, or one of its `results.jsonl`, `results.json`.

    Raises:
        ArgumentError: It is nothing of that kind.
    """
    if not path.exists():
        raise ArgumentError(f"There is no {path}.")
    if path.name == FILE:
        return read_journal(path.parent).report()
    if (path / FILE).is_file():
        return read_journal(path).report()
    try:
        return read_results(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path} holds no results of a run.") from error


def joined(paths: Sequence[Path]) -> Report:
    """Read several runs of one machine as one.

    Args:
        paths: The runs; of a case that is in several of them, the last counts.

    Raises:
        OtherMachineError: Their machines differ.
    """
    runs = [read_run(path) for path in paths]
    first = runs[0]
    cases: dict[str, Case] = {}
    for path, run in zip(paths, runs, strict=True):
        differences = other_machine(first.machine, run.machine)
        if differences:
            raise OtherMachineError(
                f"{path} and {paths[0]} come from different machines "
                f"({'; '.join(differences)}): one report cannot show both."
            )
        cases |= {case.name: case for case in run.cases}
    missing = sum(run.planned - len(run.cases) for run in runs)
    commands = dict.fromkeys(run.command for run in runs)
    return replace(
        first,
        cases=tuple(cases.values()),
        command="; ".join(commands),
        planned=len(cases) + missing,
    )
