"""The command line: `jacengine`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jacengine import __version__
from jacengine.defaults import broken_plugins, known_strategies
from jacengine.interface import Pushforward
from jacengine.plans import cache as choices


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jacengine")
def main() -> None:
    """Compute Jacobians in PyTorch by the fastest method that is right and fits."""


@main.command()
def strategies() -> None:
    """List the methods: how each works, and when it wins."""
    registry = known_strategies()
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("strategy", "direction", "method", "wins with"):
        drawn.add_column(title, overflow="fold")
    for name in registry.names():
        strategy = registry.get(name)
        direction = "forward" if isinstance(strategy, Pushforward) else "reverse"
        cells = (name, direction, strategy.method, strategy.wins)
        drawn.add_row(*map(escape, cells))
    Console().print(drawn)
    for name, reason in broken_plugins().items():
        Console(stderr=True).print(f"plug-in {name} is broken: {reason}", markup=False)


@main.group()
def cache() -> None:
    """Look at the choices that are kept on disk, or clear them."""


@cache.command("path")
def cache_path() -> None:
    """Print the folder that choices are kept in."""
    place = choices.folder()
    click.echo(f"none ({choices.VARIABLE} is empty)" if place is None else place)


@cache.command("list")
def cache_list() -> None:
    """List the choices: the method, its time, and what it was chosen for."""
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("strategy", "time", "chosen for", "file"):
        drawn.add_column(title, overflow="fold")
    for entry in choices.described():
        drawn.add_row(*map(escape, entry))
    Console().print(drawn)


@cache.command("clear")
def cache_clear() -> None:
    """Delete the choices; they are measured again when they are needed."""
    count = choices.clear()
    click.echo(f"{count} choice{'' if count == 1 else 's'} deleted")


if __name__ == "__main__":
    main()
