"""Lists for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click
from rich.markup import escape
from rich.table import Table

from jacengine.commands.consoles import output

LISTS = ("table", "json")


def print_list(rows: Sequence[Mapping[str, object]], form: str) -> None:
    """Print rows that have the same keys.

    Args:
        rows: The rows.
        form: One of `LISTS`.
    """
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in rows[0] if rows else ():
        drawn.add_column(escape(title), overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(_said(value)) for value in row.values()))
    output().print(drawn)


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
