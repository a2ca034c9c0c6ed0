"""`jacengine report` and `jacengine merge`: the results of several runs together."""

from __future__ import annotations

from pathlib import Path

import click

from jacengine._extras import require_report
from jacengine.commands.param_types import FOLDER, RUN
from jacengine.report.write import write_report
from jacengine.sweep.merge import merge_shards, read_runs, write_journal


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=RUN)
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="The folder of the report [default: the first run's folder].",
)
def report_command(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write the report of RUNS: HTML, Markdown, CSV and JSON."""
    require_report("A report")
    content = read_runs(runs)
    folder = runs[0] if runs[0].is_dir() else runs[0].parent
    click.echo(write_report(content, out or folder))


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, type=RUN)
@click.option(
    "--out",
    required=True,
    type=FOLDER,
    metavar="DIR",
    help="The merged sweep's folder.",
)
@click.option("--mixed", is_flag=True, help="Merge runs of different machines.")
def merge_command(runs: tuple[Path, ...], out: Path, *, mixed: bool) -> None:
    """Merge RUNS, the shards of one sweep (bench --shard I/N)."""
    require_report("The report of a merged sweep")
    journal = merge_shards(runs, mixed=mixed)
    write_journal(out, journal)
    click.echo(write_report(journal.report(), out))
    if journal.remaining:
        total = len(journal.manifest.cases)
        click.echo(f"{len(journal.remaining)} of {total} cases are missing", err=True)
