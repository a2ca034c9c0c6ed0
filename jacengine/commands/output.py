"""Output of commands: data on standard output, messages on standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click
from rich.console import Console

from jacengine.report.terminal import make_table
from jacengine.tables import piped_width

FORMATS = ("table", "json", "csv", "markdown")
LIST_FORMATS = ("table", "json")


def output() -> Console:
    """Return the console for data."""
    return _console()


def messages() -> Console:
    """Return the console for messages."""
    return _console(stderr=True)


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    width = None if console.is_terminal else piped_width()
    if width is not None:
        console.width = width
    return console


def print_records(
    records: Sequence[Mapping[str, object]],
    form: str,
    *,
    cells: Sequence[Mapping[str, str]] | None = None,
    numbers: Sequence[str] = (),
    styles: Sequence[str] = (),
    notes: str | None = None,
) -> None:
    """Print records with equal keys to standard output.

    Args:
        records: The records, as JSON and CSV have them.
        form: One of `FORMATS`.
        cells: The records as a table and Markdown have them; by default as strings.
        numbers: Titles of columns that are never wrapped.
        styles: The style of each row of a table.
        notes: The title of the last column, if a table may have it below.
    """
    if form == "json":
        click.echo(json.dumps(records, indent=1))
        return
    if form == "csv":
        import pandas as pd  # noqa: PLC0415 - it takes half a second to import

        click.echo(pd.DataFrame(records).to_csv(index=False), nl=False)
        return
    if cells is None:
        cells = [{k: _to_text(v) for k, v in record.items()} for record in records]
    titles, rows = list(cells[0] if cells else ()), [row.values() for row in cells]
    if form == "table":
        output().print(
            make_table(titles, rows, numbers=numbers, styles=styles, notes=notes)
        )
        return
    lines = [titles, ["---"] * len(titles)]
    lines += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    click.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
