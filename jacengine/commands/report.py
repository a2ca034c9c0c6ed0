"""`jacengine report`: the report of runs that are finished."""

from __future__ import annotations

from pathlib import Path

import click

from jacengine.report.write import write_report
from jacengine.sweep.runs import joined


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the report goes [default: the first run's folder].",
)
def report_command(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write the report of RUNS: HTML, Markdown, CSV and JSON."""
    content = joined(runs)
    folder = runs[0] if runs[0].is_dir() else runs[0].parent
    click.echo(write_report(content, out or folder))
