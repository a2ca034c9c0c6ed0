"""The command line: `jacengine`."""

from __future__ import annotations

import click

from jacengine import __version__
from jacengine.commands.auto import auto_command
from jacengine.commands.bench import bench_command
from jacengine.commands.cache import cache_group
from jacengine.commands.cli_group import CommandGroup
from jacengine.commands.compare import compare_command
from jacengine.commands.doctor import doctor_command
from jacengine.commands.merge import merge_command, report_command
from jacengine.commands.strategies import strategies_command, workloads_command

__all__ = ["main"]

_CONTEXT = {
    "help_option_names": ["-h", "--help"],
    # Each option is also an environment variable: `JACENGINE_BENCH_SIZES`.
    "auto_envvar_prefix": "JACENGINE",
    "show_default": True,
}


@click.group(cls=CommandGroup, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="jacengine")
def main() -> None:
    """Compute Jacobians in PyTorch by the fastest correct method that fits."""


for _command in (
    bench_command,
    auto_command,
    compare_command,
    report_command,
    merge_command,
    strategies_command,
    workloads_command,
    doctor_command,
    cache_group,
):
    main.add_command(_command)
