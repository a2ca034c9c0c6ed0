"""The command line: `jacengine`."""

from __future__ import annotations

import click

from jacengine import __version__
from jacengine.commands.auto import auto
from jacengine.commands.bench import bench
from jacengine.commands.cache import cache
from jacengine.commands.compare import compare
from jacengine.commands.doctor import doctor
from jacengine.commands.group import Commands
from jacengine.commands.merge import merge
from jacengine.commands.report import report
from jacengine.commands.strategies import strategies, workloads

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jacengine")
def main() -> None:
    """Compute Jacobians in PyTorch by the fastest method that is right and fits."""


for _command in (
    bench,
    auto,
    compare,
    report,
    merge,
    strategies,
    workloads,
    doctor,
    cache,
):
    main.add_command(_command)
