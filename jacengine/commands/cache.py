"""`jacengine cache`: the plans that are cached on disk."""

from __future__ import annotations

import click

from jacengine.commands.output import print_records
from jacengine.plans import disk_cache


@click.group("cache")
def cache_group() -> None:
    """List or delete the choices that are cached on disk."""


@cache_group.command("path")
def cache_path() -> None:
    """Print the folder of the cache."""
    folder = disk_cache.folder()
    click.echo(folder or f"none ({disk_cache.VARIABLE} is empty)")


@cache_group.command("list")
def cache_list() -> None:
    """List the cached choices: the method, its time, and the problem."""
    titles = ("strategy", "time", "chosen for", "file")
    entries = disk_cache.described()
    print_records([dict(zip(titles, entry, strict=True)) for entry in entries], "table")


@cache_group.command("clear")
def cache_clear() -> None:
    """Delete the cached choices; they are measured again when they are needed."""
    count = disk_cache.clear()
    click.echo(f"{count} choice{'' if count == 1 else 's'} deleted")
