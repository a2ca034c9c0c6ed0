"""The commands and their options, as `--help` says them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from jacengine.commands import main


def commands() -> str:
    """Write a section for each command."""
    return "\n\n".join(_sections(main, click.Context(main, info_name="jacengine")))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    title = context.command_path
    usage = " ".join((title, *command.collect_usage_pieces(context)))
    says = inspect.cleandoc(command.help or "")
    level = "#" * (1 + len(title.split()))
    yield (
        f"{level} {title}\n\n{says}\n\n```sh\n{usage}\n```\n\n"
        + _table(list(_options(command, context)))
    )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None  # it is listed
            yield from _sections(
                below, click.Context(below, parent=context, info_name=name)
            )


def _table(rows: list[str]) -> str:
    return "\n".join(("| option | meaning |", "|---|---|", *rows)) if rows else ""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    # A context made here has not read its settings from its command yet.
    context.show_default = True
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            # A bar would end a cell, in some dialects of Markdown within code too.
            names, says = (cell.replace("|", ", ") for cell in record)
            yield f"| `{names}` | {says} |"
