"""`jacengine cache`: the plans that are cached on disk."""

from __future__ import annotations

import click

from jacengine.commands.output import print_records
from jacengine.commands.param_types import LIST_FORMAT_OPTION
from jacengine.plans import disk_cache

UNSTABLE = "unstable: measured on a busy machine, again once that is quiet"
"""What is said of a choice whose times were disturbed."""


@click.group("cache")
def cache_group() -> None:
    """List or delete the choices that are cached on disk."""


@cache_group.command("path")
def cache_path() -> None:
    """Print the folder of the cache."""
    folder = disk_cache.folder()
    click.echo(folder or f"none ({disk_cache.VARIABLE} is empty)")


@cache_group.command("list")
@LIST_FORMAT_OPTION
def cache_list(form: str) -> None:
    """List the cached choices: the method, its time, and the problem."""
    records = [
        {
            "strategy": entry.strategy,
            "time": entry.time,
            "chosen for": entry.arguments,
            "file": entry.file,
            "notes": UNSTABLE if entry.unstable else "",
        }
        for entry in disk_cache.described()
    ]
    if form == "table" and not records:
        where = disk_cache.folder() or f"nowhere: {disk_cache.VARIABLE} is empty"
        click.echo(f"no choices ({where})", err=True)
        return
    print_records(records, form, numbers=("time",), notes="notes")


@cache_group.command("clear")
def cache_clear() -> None:
    """Delete the cached choices; they are measured again when they are needed."""
    count = disk_cache.clear()
    click.echo(f"{count} choice{'' if count == 1 else 's'} deleted")
