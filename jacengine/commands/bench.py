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

from jacengine.commands.asked import Asked, taken_over
from jacengine.commands.casetable import print_case
from jacengine.commands.consoles import aside, output
from jacengine.commands.failure import INTERRUPTED, UNSOLVED, Failure, Incomparable
from jacengine.commands.follow import Follower, duration
from jacengine.commands.formats import FORMATS, print_report
from jacengine.commands.parameters import (
    DTYPE_NAMES,
    SIZE_NAMES,
    BudgetText,
    Devices,
    Names,
    Shard,
    Threads,
)
from jacengine.commands.regret import regret_table
from jacengine.report.case import Case
from jacengine.report.machine import Machine
from jacengine.report.write import write_report
from jacengine.sweep.catalogue import load_workloads
from jacengine.sweep.facts import other_machine, other_versions
from jacengine.sweep.header import Header
from jacengine.sweep.interruption import interruptible
from jacengine.sweep.journal import FILE, begun, read_journal, resumed
from jacengine.sweep.limits import LIMITS
from jacengine.sweep.pool import Pool
from jacengine.sweep.roster import Roster
from jacengine.sweep.run import Sweep, unsolved
from jacengine.sweep.trial import CATALOGUE, Trial

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("bench")
@click.option(
    "-k",
    "expression",
    default="",
    metavar="EXPR",
    help="Cases whose name matches, as with pytest: 'mlp and not decoder'.",
)
@click.option(
    "--workloads",
    type=Names(),
    default=(),
    metavar="GLOB,...",
    help="Workloads by name or pattern: 'robot_*'.",
)
@click.option(
    "--strategies",
    type=Names(),
    default=(),
    metavar="NAME,...",
    help="These methods of jacengine only.",
)
@click.option(
    "--exclude",
    type=Names(),
    default=(),
    metavar="NAME,...",
    help="Neither these methods nor these libraries.",
)
@click.option(
    "--sizes",
    type=SIZE_NAMES,
    default="small",
    show_default=True,
    metavar="SIZE,...",
    help="small, medium, large, or all.",
)
@click.option(
    "--device",
    type=Devices(),
    default="cpu",
    show_default=True,
    metavar="DEVICE,...",
    help="cpu, cuda, cuda:1.",
)
@click.option(
    "--threads",
    type=Threads(),
    default=(),
    metavar="N,...",
    help="Threads of one operator [default: as many as PyTorch takes].",
)
@click.option(
    "--dtype",
    type=DTYPE_NAMES,
    default=(),
    metavar="DTYPE,...",
    help="float64, float32 ... [default: the workload's own].",
)
@click.option(
    "--memory-budget",
    type=BudgetText(),
    metavar="SIZE",
    help="What a method may allocate: 512MiB.",
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "thorough"]),
    default="quick",
    show_default=True,
    help="How long a case may take: seconds, or half a minute.",
)
@click.option(
    "--peers/--no-peers",
    default=True,
    show_default=True,
    help="Measure other libraries too, those that are installed.",
)
@click.option(
    "--regret", is_flag=True, help="Also print what auto loses against the best."
)
@click.option(
    "--list", "listing", is_flag=True, help="List the cases, and measure nothing."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done and how long it may take."
)
@click.option(
    "--out",
    type=_FOLDER,
    metavar="DIR",
    help="Where results and report go [default: reports/bench-DATE-TIME].",
)
@click.option("--replace", is_flag=True, help="Replace a sweep that is in DIR already.")
@click.option(
    "--resume", type=_FOLDER, metavar="DIR", help="Go on with the sweep in DIR."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the order in which contenders take turns.",
)
@click.option(
    "--shard",
    type=Shard(),
    default="1/1",
    metavar="I/N",
    help="Only the I-th of N shares; see 'jacengine merge'.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="A case that takes longer has hung.",
)
@click.option(
    "--catalogue",
    default=CATALOGUE,
    metavar="MODULE:NAME",
    help="Workloads of your own.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="What to print on standard output.",
)
@click.pass_context
def bench_command(ctx: click.Context, /, **options: Any) -> None:
    """Time every method on real workloads, verified against plain autograd.

    Results go to DIR case by case, so that nothing is lost; a report is written at the
    end. Ctrl-C ends the sweep after the case that runs.
    """
    asked = Asked.of(options)
    folder: Path | None = options["resume"]
    if folder is not None:
        asked = _asked_before(ctx, asked, folder)
    settings = asked.settings()
    workloads = load_workloads(settings.catalogue)
    trials = asked.trials(workloads)
    roster = Roster.of(settings)
    if options["listing"]:
        click.echo("\n".join(trial.name for trial in trials))
        return
    if options["dry_run"]:
        _forecast(trials, len(roster.strategies) + len(roster.baselines), asked)
        return
    libraries = frozenset(baseline.name for baseline in roster.baselines)
    limit_s = options["time_limit"] or LIMITS[settings.effort].case_s
    progress = aside()
    with Pool(settings, libraries, limit_s) as pool:
        if folder is None:
            folder = _fresh(options["out"], replace=options["replace"])
            rates = pool.rates(trials[0].device, trials[0].threads)
            header = Header(
                asked.plain(), settings, trials, Machine.here(), _command(), rates
            )
            opened, left = begun(folder, header), trials
        else:
            opened, left = resumed(folder), read_journal(folder).left
        table = options["form"] == "table"
        results = output()
        follower = Follower(
            len(left),
            progress,
            quiet=options["quiet"],
            done=lambda case: print_case(case, results) if table else None,
        )
        stopped = False

        def stopping() -> None:
            follower.pause()
            progress.print("Stopping after this case. Ctrl-C again stops now.")

        with opened as writer, interruptible(stopping) as interruption:
            sweep = Sweep(pool, writer, {w.name: w for w in workloads}, follower)
            try:
                sweep.run(left, lambda: interruption.wanted)
            except KeyboardInterrupt:
                follower.pause()
                stopped = True
        stopped = stopped or (interruption.wanted and len(follower.cases) < len(left))
    ctx.exit(_concluded(folder, options, stopped=stopped))


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


def _command() -> str:
    return shlex.join(["jacengine", *sys.argv[1:]])
