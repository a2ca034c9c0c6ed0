"""`jacengine bench`: every method on every workload."""

from __future__ import annotations

import functools
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from jacengine._extras import require_report
from jacengine.bench.workload import Workload
from jacengine.commands.bench_options import (
    bench_options,
    measured_options,
    shard_cases,
    sweep_settings,
)
from jacengine.commands.cli_group import (
    INTERRUPTED,
    UNSOLVED,
    CommandError,
    IncomparableError,
)
from jacengine.commands.output import messages, output
from jacengine.commands.progress import Progress, duration
from jacengine.distributed.spread import Executor
from jacengine.report.case import Case, Report, sanitize
from jacengine.report.machine import Machine
from jacengine.report.results import to_csv, to_json
from jacengine.report.terminal import print_case, regret_table, summary_table
from jacengine.report.write import write_report
from jacengine.sweep.candidates import find_libraries, find_strategies
from jacengine.sweep.case_spec import CATALOGUE, CaseSpec
from jacengine.sweep.catalogue import load_workloads
from jacengine.sweep.environment import machine_differences, version_differences
from jacengine.sweep.journal import (
    FILE,
    JournalWriter,
    Manifest,
    create_journal,
    read_journal,
    resume_journal,
)
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.signals import graceful_stop
from jacengine.sweep.spread_cases import (
    describe_worker,
    make_executor,
    measure_side_by_side,
)
from jacengine.sweep.worker_supervisor import WorkerSupervisor
from jacengine.tables import hanging

Measure = Callable[
    [Sequence[CaseSpec], threading.Event, Progress], Iterator[tuple[Case, float | None]]
]
"""Measures cases until the event is set; yields each, and the seconds that it took."""


@click.command("bench")
@bench_options
@click.pass_context
def bench_command(ctx: click.Context, /, **options: Any) -> None:
    """Time every method on real workloads, verified against plain autograd.

    Results are written to DIR case by case, so that nothing is lost, and a report at
    the end. Ctrl-C ends the sweep after the running case.
    """
    measured, folder = measured_options(options), options["resume"]
    executor = _executor(ctx, options["executor"])
    if folder is not None:
        here = (
            Machine.here if executor is None else executor.submit(Machine.here).result
        )
        measured = _resumed_options(ctx, measured, folder, here())
    settings = sweep_settings(measured)
    workloads = load_workloads(settings.catalogue)
    specs = (
        shard_cases(measured, workloads)
        if folder is None
        else list(read_journal(folder).remaining)
    )
    strategies = find_strategies(settings, "jacobian")
    libraries = find_libraries(settings, "jacobian")
    limits = LIMITS[settings.effort]
    if options["listing"] or options["dry_run"]:
        click.echo("\n".join(spec.name for spec in specs))
        if options["dry_run"]:
            click.echo(
                f"{len(specs)} cases, {len(strategies) + len(libraries)} methods and "
                f"libraries on each: about {duration(limits.expected_s * len(specs))} "
                f"({limits.expected_s:.0f} s each; large sizes take more)."
            )
        return
    require_report("A sweep")
    limit_s = options["time_limit"] or limits.case_s
    with WorkerSupervisor(settings, limit_s) as supervisor:
        if folder is None:
            folder = _new_folder(options["out"], replace=options["replace"])
            if executor is None:
                machine = Machine.here()
                roofline = supervisor.roofline(specs[0].device, specs[0].threads)
            else:
                machine, roofline = executor.submit(
                    describe_worker, specs[0], settings
                ).result()
            command = shlex.join(["jacengine", *sys.argv[1:]])
            manifest = Manifest(
                measured, settings, tuple(specs), machine, command, roofline
            )
            journal = create_journal(folder, manifest)
        else:
            journal = resume_journal(folder)
            manifest = read_journal(folder).manifest
        measure: Measure = functools.partial(_one_by_one, supervisor)
        if executor is not None:
            measure = functools.partial(
                _side_by_side, executor=executor, manifest=manifest, limit_s=limit_s
            )
        by_name = {workload.name: workload for workload in workloads}
        interrupted = _measure(specs, measure, journal, by_name, options)
    ctx.exit(_conclude(folder, options, interrupted=interrupted))


def _executor(ctx: click.Context, place: str | None) -> Executor | None:
    """Make the executor of an option, which is closed at the end of the command."""
    if place is None:
        return None
    executor = make_executor(place)
    if isinstance(executor, AbstractContextManager):
        ctx.with_resource(executor)
    messages().print(
        "warning: cases that run side by side disturb each other's times, unless each "
        "worker has a machine of its own",
        style="yellow",
    )
    return executor


def _one_by_one(
    supervisor: WorkerSupervisor,
    specs: Sequence[CaseSpec],
    stop: threading.Event,
    progress: Progress,
) -> Iterator[tuple[Case, float | None]]:
    """Measure case after case in one process."""
    for spec in specs:
        if stop.is_set():
            return
        progress.start_case(spec.name)
        yield supervisor.measure(spec, progress.start_candidate), None


def _side_by_side(
    specs: Sequence[CaseSpec],
    stop: threading.Event,
    _: Progress,
    *,
    executor: Executor,
    manifest: Manifest,
    limit_s: float,
) -> Iterator[tuple[Case, float | None]]:
    """Have cases measured by an executor, on machines like that of the manifest."""
    for case, taken_s, machine in measure_side_by_side(
        executor, specs, manifest.settings, limit_s, stop
    ):
        if differences := machine_differences(manifest.machine, machine):
            messages().print(
                f"warning: {case.name} was measured on another machine "
                f"({'; '.join(differences)})",
                style="yellow",
                markup=False,
            )
        yield case, taken_s


def _measure(
    specs: Sequence[CaseSpec],
    measure: Measure,
    journal: AbstractContextManager[JournalWriter],
    workloads: Mapping[str, Workload],
    options: Mapping[str, Any],
) -> bool:
    """Measure cases; return whether Ctrl-C ended that before the last."""
    progress = Progress(len(specs), messages(), quiet=options["quiet"])

    def notify() -> None:
        progress.pause()
        messages().print("Stopping after this case. Ctrl-C again stops now.")

    # Signals are handled before the journal exists, so that none is lost.
    with graceful_stop(notify) as stop, journal as writer:
        try:
            for measured, taken_s in measure(specs, stop, progress):
                case = measured
                workload = workloads.get(case.workload)
                if workload is not None and not case.description:  # it failed at once
                    case = replace(
                        case,
                        description=workload.use,
                        origin=workload.origin,
                        parameter=workload.parameter,
                    )
                writer.append(case)
                progress.finish_case(case, taken_s)
                if options["form"] == "table":
                    print_case(case, output())
        except KeyboardInterrupt:
            progress.pause()
    return progress.finished < len(specs)


def _resumed_options(
    ctx: click.Context, measured: Mapping[str, Any], folder: Path, machine: Machine
) -> dict[str, Any]:
    """Return the options that the resumed sweep was started with.

    Raises:
        CommandError: An option of this command differs.
        IncomparableError: The environment differs.
    """
    source = click.core.ParameterSource.COMMANDLINE
    given = {n for n in ctx.params if ctx.get_parameter_source(n) is source}
    if given & {"out", "replace"}:
        raise CommandError("--resume has its own folder: omit --out and --replace.")
    manifest = read_journal(folder).manifest
    differences = machine_differences(manifest.machine, machine)
    differences += version_differences(manifest.machine, machine)
    if differences:
        raise IncomparableError(
            f"{folder} was started under other conditions ({'; '.join(differences)}): "
            "start a new sweep in another folder."
        )
    if manifest.machine.commit != machine.commit:
        messages().print("warning: jacengine is at another commit now", style="yellow")
    saved = manifest.options
    for name in sorted(given & measured.keys()):
        if measured[name] != saved.get(name):
            raise CommandError(
                f"{folder} was started with {name} = {saved.get(name)!r}, not "
                f"{measured[name]!r}: one sweep cannot mix them. Resume it without "
                "this option, or start a new one in another folder."
            )
    catalogue = saved.get("catalogue", CATALOGUE)
    if catalogue != CATALOGUE and "catalogue" not in given:
        raise CommandError(
            f"{folder} measures the catalogue {catalogue!r}, whose code would be run. "
            f"If you trust it, name it: --resume {folder} --catalogue {catalogue}"
        )
    return {**measured, **saved}


def _new_folder(out: Path | None, *, replace: bool) -> Path:
    """Return a folder in which no results are overwritten, or raise an error."""
    if out is None:
        return Path("reports") / f"bench-{datetime.now():%Y%m%d-%H%M%S}"
    for name in (FILE, "results.json"):
        if (out / name).exists() and not replace:
            how = f"Resume it with --resume {out}, choose" if name == FILE else "Choose"
            raise CommandError(
                f"{out} has results already. {how} another --out, or --replace them."
            )
    (out / FILE).unlink(missing_ok=True)
    return out


def _conclude(folder: Path, options: Mapping[str, Any], *, interrupted: bool) -> int:
    """Write and print the report; return the exit code."""
    journal = read_journal(folder)
    console, form = messages(), options["form"]
    if journal.damaged:
        console.print(f"{journal.damaged} damaged lines of {FILE} were left out.")
    if journal.cases:
        report = journal.report()
        page = write_report(report, folder)
        _print_report(report, form)
        if options["regret"]:
            data = output() if form == "table" else console
            data.print("\n[bold]Regret of auto[/]")
            data.print(regret_table(report.cases))
        console.print(f"\nReport: {escape(str(page))}", soft_wrap=True)
    if interrupted:
        words = ["jacengine", "bench", "--resume", str(folder)]
        catalogue = journal.manifest.options.get("catalogue", CATALOGUE)
        if catalogue != CATALOGUE:
            words += ["--catalogue", catalogue]
        command = shlex.join(words)
        console.print(
            f"Interrupted; {len(journal.cases)} of {len(journal.manifest.cases)} cases "
            f"are finished. Resume with: {command}",
            markup=False,
            soft_wrap=True,
        )
        return INTERRUPTED
    skipped = [case for case in journal.cases if case.skipped]
    if skipped:
        text = ", ".join(f"{case.name} ({case.failure})" for case in skipped)
        console.print(hanging(f"Skipped: {text}", "yellow", console))
    names = [
        case.name
        for case in journal.cases
        if not case.skipped
        and not any(row.outcome == "ok" and row.kind != "library" for row in case.rows)
    ]
    if names:
        text = f"No correct method on: {', '.join(names)}"
        console.print(text, markup=False, style="red")
    return UNSOLVED if names else 0


def _print_report(report: Report, form: str) -> None:
    """Print all results to standard output."""
    shown = sanitize(report)
    if form == "table":
        title = "Summary[/] (runner-up and plain loop: their time, as a multiple)"
        output().print(f"\n[bold]{title}")
        output().print(summary_table(shown.cases))
        return
    from jacengine.report.documents import (  # noqa: PLC0415 - it imports an extra
        to_markdown,
    )

    write = {"json": to_json, "csv": to_csv, "markdown": to_markdown}[form]
    click.echo(write(shown), nl=False)
