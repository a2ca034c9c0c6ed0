"""Results in the form that was asked for, on standard output."""

from __future__ import annotations

import click

from jacengine.commands.consoles import output
from jacengine.report.case import Report, sanitize
from jacengine.report.markdown import to_markdown
from jacengine.report.results import to_json
from jacengine.report.table import to_csv
from jacengine.report.terminal import summary_table

FORMATS = ("table", "json", "csv", "markdown")


def print_report(report: Report, form: str) -> None:
    """Print all results.

    Args:
        report: The results.
        form: One of `FORMATS`.
    """
    shown = sanitize(report)
    if form == "table":
        console = output()
        console.print(
            "\n[bold]Summary[/] (runner-up and plain loop: their time, as a multiple)"
        )
        console.print(summary_table(shown.cases))
        return
    write = {"json": to_json, "csv": to_csv, "markdown": to_markdown}[form]
    click.echo(write(shown), nl=False)
