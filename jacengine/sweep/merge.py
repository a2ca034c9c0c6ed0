"""Runs read from their files, and several of them merged into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jacengine.errors import ArgumentError
from jacengine.report.case import Case, Report
from jacengine.report.results import read_results
from jacengine.sweep.case_spec import CaseSpec
from jacengine.sweep.environment import require_same_machine
from jacengine.sweep.journal import FILE, Journal, create_journal, read_journal


def read_run(path: Path) -> Report:
    """Read the report of a run: of its folder, `results.jsonl` or `results.json`.

    Raises:
        ArgumentError: There is no run.
    """
    if not path.exists():
        raise ArgumentError(f"There is no {path}.")
    folder = path.parent if path.name == FILE else path
    if (folder / FILE).is_file():
        return read_journal(folder).report()
    try:
        return read_results(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path} holds no results of a run.") from error


def read_runs(paths: Sequence[Path]) -> Report:
    """Read several runs of one machine as one report; of equal cases the last counts.

    Raises:
        OtherMachineError: Their machines differ.
    """
    runs = [read_run(path) for path in paths]
    cases: dict[str, Case] = {}
    for path, run in zip(paths, runs, strict=True):
        require_same_machine(path, run.machine, paths[0], runs[0].machine)
        cases |= {case.name: case for case in run.cases}
    missing = sum(run.planned - len(run.cases) for run in runs)
    commands = dict.fromkeys(run.command for run in runs)
    return replace(
        runs[0],
        cases=tuple(cases.values()),
        command="; ".join(commands),
        planned=len(cases) + missing,
    )


def merge_shards(folders: Sequence[Path], *, mixed: bool = False) -> Journal:
    """Read the shards of a sweep as one, `mixed` also those of different machines.

    Raises:
        ArgumentError: Their settings differ, or two of them have the same case.
        OtherMachineError: Their machines differ.
    """
    shards = [read_journal(folder) for folder in folders]
    first = shards[0].manifest
    cases: dict[str, Case] = {}
    specs: dict[str, CaseSpec] = {}
    for folder, shard in zip(folders, shards, strict=True):
        manifest = shard.manifest
        if manifest.settings != first.settings:
            raise ArgumentError(
                f"{folder} and {folders[0]} were measured with different settings; "
                "only shards of one sweep can be merged."
            )
        if not mixed:
            advice = "--mixed merges them under the first one's machine."
            require_same_machine(
                folder, manifest.machine, folders[0], first.machine, advice=advice
            )
        for spec in manifest.cases:
            if spec.name in specs:
                raise ArgumentError(f"{folder} has {spec.name} a second time.")
            specs[spec.name] = spec
        cases |= {case.name: case for case in shard.cases}
    options = {k: v for k, v in first.options.items() if k != "shard"}
    manifest = replace(first, options=options, cases=tuple(specs.values()))
    damaged = sum(shard.damaged for shard in shards)
    return Journal(manifest, tuple(cases.values()), damaged)


def write_journal(folder: Path, journal: Journal) -> None:
    """Write a merged sweep, which can be resumed."""
    with create_journal(folder, journal.manifest) as writer:
        for case in journal.cases:
            writer.append(case)
