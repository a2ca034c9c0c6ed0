"""`jacengine cache`: the choices that are kept on disk."""

from __future__ import annotations

import click

from jacengine.commands.listing import print_list
from jacengine.plans import disk_cache as choices


@click.group("cache")
def cache_group() -> None:
    """Look at the choices that are kept on disk, or clear them."""


@cache_group.command("path")
def cache_path() -> None:
    """Print the folder that choices are kept in."""
    place = choices.folder()
    click.echo(f"none ({choices.VARIABLE} is empty)" if place is None else place)


@cache_group.command("list")
def cache_list() -> None:
    """List the choices: the method, its time, and what it was chosen for."""
    titles = ("strategy", "time", "chosen for", "file")
    entries = choices.described()
    print_list([dict(zip(titles, entry, strict=True)) for entry in entries], "table")


@cache_group.command("clear")
def cache_clear() -> None:
    """Delete the choices; they are measured again when they are needed."""
    count = choices.clear()
    click.echo(f"{count} choice{'' if count == 1 else 's'} deleted")
