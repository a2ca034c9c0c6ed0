"""Parts of one sweep, put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jacengine.errors import ArgumentError
from jacengine.report.case import Case
from jacengine.sweep.case_spec import Trial
from jacengine.sweep.environment import other_machine
from jacengine.sweep.journal import Journal, begun, read_journal


class OtherMachineError(ArgumentError):
    """Runs of different machines, whose times cannot stand side by side."""


def merged(folders: Sequence[Path], *, mixed: bool = False) -> Journal:
    """Read parts of a sweep as one.

    Args:
        folders: Where they are.
        mixed: Whether parts from different machines may be put together.

    Raises:
        ArgumentError: Their settings differ, or two of them have the same case.
        OtherMachineError: Their machines differ.
    """
    parts = [read_journal(folder) for folder in folders]
    first = parts[0]
    cases: dict[str, Case] = {}
    trials: dict[str, Trial] = {}
    for folder, part in zip(folders, parts, strict=True):
        if part.header.settings != first.header.settings:
            raise ArgumentError(
                f"{folder} and {folders[0]} were measured with different settings; "
                "only parts of one sweep can be merged."
            )
        differences = other_machine(first.header.machine, part.header.machine)
        if differences and not mixed:
            raise OtherMachineError(
                f"{folder} and {folders[0]} come from different machines "
                f"({'; '.join(differences)}). --mixed merges them all the same, under "
                "the first one's name."
            )
        for trial in part.header.trials:
            if trial.name in trials:
                raise ArgumentError(f"{folder} has {trial.name} once more.")
            trials[trial.name] = trial
        cases |= {case.name: case for case in part.cases}
    options = {k: v for k, v in first.header.options.items() if k != "shard"}
    header = replace(first.header, options=options, trials=tuple(trials.values()))
    return Journal(header, tuple(cases.values()), sum(p.damaged for p in parts))


def write_journal(folder: Path, journal: Journal) -> None:
    """Write a sweep that was put together; it can be resumed."""
    with begun(folder, journal.header) as writer:
        for case in journal.cases:
            writer.append(case)
