"""`jacengine merge`: the shares of a sweep put together."""

from __future__ import annotations

from pathlib import Path

import click

from jacengine.report.write import write_report
from jacengine.sweep.merge import merged, write_journal


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the whole goes.",
)
@click.option("--mixed", is_flag=True, help="Even if their machines differ.")
def merge_command(runs: tuple[Path, ...], out: Path, *, mixed: bool) -> None:
    """Put RUNS, the shares of one sweep (bench --shard I/N), together."""
    journal = merged(runs, mixed=mixed)
    write_journal(out, journal)
    click.echo(write_report(journal.report(), out))
    left = len(journal.left)
    if left:
        click.echo(
            f"{left} of {len(journal.header.trials)} cases are missing", err=True
        )
