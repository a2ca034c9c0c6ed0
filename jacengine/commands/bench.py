"""`jacengine bench`: every method on every workload."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from jacengine.commands.bench_options import bench_options
from jacengine.commands.bench_request import Asked, taken_over
from jacengine.commands.casetable import print_case
from jacengine.commands.consoles import aside, output
from jacengine.commands.exit_codes import INTERRUPTED, UNSOLVED, Failure, Incomparable
from jacengine.commands.formats import print_report
from jacengine.commands.progress import Follower, duration
from jacengine.commands.regret import regret_table
from jacengine.report.case import Case
from jacengine.report.machine import Machine
from jacengine.report.write import write_report
from jacengine.sweep.candidate_registry import Roster
from jacengine.sweep.case_spec import Trial
from jacengine.sweep.catalogue import load_workloads
from jacengine.sweep.environment import other_machine, other_versions
from jacengine.sweep.journal import FILE, begun, read_journal, resumed
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.manifest import Header
from jacengine.sweep.run import Sweep, unsolved
from jacengine.sweep.signals import interruptible
from jacengine.sweep.worker_supervisor import Pool


@click.command("bench")
@bench_options
@click.pass_context
def bench_command(ctx: click.Context, /, **options: Any) -> None:
    """Time every method on real workloads, verified against plain autograd.

    Results go to DIR case by case, so that nothing is lost; a report is written at the
    end. Ctrl-C ends the sweep after the case that runs.
    """
    asked, folder = Asked.of(options), options["resume"]
    if folder is not None:
        asked = _asked_before(ctx, asked, folder)
    workloads = load_workloads(asked.catalogue)
    trials = asked.trials(workloads) if folder is None else read_journal(folder).left
    roster = Roster.of(asked.settings())
    if options["listing"]:
        click.echo("\n".join(trial.name for trial in trials))
        return
    if options["dry_run"]:
        _forecast(trials, len(roster.strategies) + len(roster.baselines), asked)
        return
    follower = _follower(len(trials), options)
    libraries = frozenset(baseline.name for baseline in roster.baselines)
    limit_s = options["time_limit"] or LIMITS[asked.effort].case_s
    with Pool(asked.settings(), libraries, limit_s) as pool:
        if folder is None:
            folder = _fresh(options["out"], replace=options["replace"])
            opened = begun(folder, _header(asked, trials, pool))
        else:
            opened = resumed(folder)
        with opened as writer:
            sweep = Sweep(pool, writer, {w.name: w for w in workloads}, follower)
            stopped = _run(sweep, trials, follower)
    ctx.exit(_concluded(folder, options, stopped=stopped))


def _follower(total: int, options: dict[str, Any]) -> Follower:
    results, table = output(), options["form"] == "table"

    def done(case: Case) -> None:
        if table:
            print_case(case, results)

    return Follower(total, aside(), quiet=options["quiet"], done=done)


def _header(asked: Asked, trials: Sequence[Trial], pool: Pool) -> Header:
    """Describe a new sweep; what the machine can do is measured for it."""
    command = shlex.join(["jacengine", *sys.argv[1:]])
    rates = pool.rates(trials[0].device, trials[0].threads)
    settings, machine = asked.settings(), Machine.here()
    return Header(asked.plain(), settings, tuple(trials), machine, command, rates)


def _run(sweep: Sweep, trials: Sequence[Trial], follower: Follower) -> bool:
    """Measure until the end, or until Ctrl-C.

    Returns:
        Whether it was stopped before the end.
    """

    def stopping() -> None:
        follower.pause()
        aside().print("Stopping after this case. Ctrl-C again stops now.")

    with interruptible(stopping) as interruption:
        try:
            sweep.run(trials, lambda: interruption.wanted)
        except KeyboardInterrupt:
            follower.pause()
    return len(follower.cases) < len(trials)


def _asked_before(ctx: click.Context, asked: Asked, folder: Path) -> Asked:
    """Return what the sweep that is resumed was asked to be.

    Raises:
        Failure: This command asks for something else.
        Incomparable: It was begun under other conditions.
    """
    source = click.core.ParameterSource.COMMANDLINE
    given = frozenset(n for n in ctx.params if ctx.get_parameter_source(n) is source)
    if given & {"out", "replace"}:
        raise Failure("--resume goes on in its own folder: leave out --out, --replace.")
    header = read_journal(folder).header
    here = Machine.here()
    differences = other_machine(header.machine, here)
    differences += other_versions(header.machine, here)
    if differences:
        raise Incomparable(
            f"{folder} was begun under other conditions ({'; '.join(differences)}): "
            "begin anew in another folder."
        )
    if header.machine.commit != here.commit:
        aside().print("warning: jacengine is at another commit now", style="yellow")
    return taken_over(header.options, asked, given, str(folder))


def _fresh(out: Path | None, *, replace: bool) -> Path:
    """Return a folder in which nothing is lost.

    Raises:
        Failure: There are results in it.
    """
    if out is None:
        return Path("reports") / f"bench-{datetime.now():%Y%m%d-%H%M%S}"
    for name in (FILE, "results.json"):
        if (out / name).exists() and not replace:
            how = f"Resume it with --resume {out}, choose" if name == FILE else "Choose"
            raise Failure(
                f"{out} has results already. {how} another --out, or --replace them."
            )
    (out / FILE).unlink(missing_ok=True)
    return out


def _forecast(trials: Sequence[Trial], contenders: int, asked: Asked) -> None:
    """Print the plan and how long it may take."""
    each = LIMITS[asked.effort].expected_s
    for trial in trials:
        click.echo(trial.name)
    click.echo(
        f"{len(trials)} cases, {contenders} methods and libraries on each: about "
        f"{duration(each * len(trials))} ({each:.0f} s each; large sizes take more)."
    )


def _concluded(folder: Path, options: dict[str, Any], *, stopped: bool) -> int:
    """Write and print what there is.

    Returns:
        The exit code.
    """
    journal = read_journal(folder)
    progress, form = aside(), options["form"]
    if journal.damaged:
        progress.print(f"{journal.damaged} damaged lines of {FILE} were left out.")
    if journal.cases:
        report = journal.report()
        page = write_report(report, folder)
        print_report(report, form)
        if options["regret"]:
            console = output() if form == "table" else progress
            console.print("\n[bold]What auto loses[/]")
            console.print(regret_table(report.cases))
        progress.print(f"\nReport: {escape(str(page))}", soft_wrap=True)
    if stopped:
        finished = f"{len(journal.cases)} of {len(journal.header.trials)} cases"
        command = shlex.join(["jacengine", "bench", "--resume", str(folder)])
        progress.print(
            f"Interrupted; {finished} are finished. Resume with: {command}",
            markup=False,
            soft_wrap=True,
        )
        return INTERRUPTED
    lost: list[Case] = [case for case in journal.cases if unsolved(case)]
    if lost:
        names = ", ".join(case.name for case in lost)
        progress.print(f"No right method on: {names}", markup=False, style="red")
    return UNSOLVED if lost else 0
