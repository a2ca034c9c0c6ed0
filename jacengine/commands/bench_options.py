"""The options of `jacengine bench`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jacengine.commands.formats import FORMATS
from jacengine.commands.param_types import (
    DTYPE_NAMES,
    SIZE_NAMES,
    BudgetText,
    Devices,
    Names,
    Shard,
    Threads,
)
from jacengine.sweep.case_spec import CATALOGUE

_Function = TypeVar("_Function", bound=Callable[..., Any])
_FOLDER = click.Path(path_type=Path, file_okay=False)
_OPTIONS = (
    click.option(
        "-k",
        "expression",
        default="",
        metavar="EXPR",
        help="Cases whose name matches, as with pytest: 'mlp and not decoder'.",
    ),
    click.option(
        "--workloads",
        type=Names(),
        default=(),
        metavar="GLOB,...",
        help="Workloads by name or pattern: 'robot_*'.",
    ),
    click.option(
        "--strategies",
        type=Names(),
        default=(),
        metavar="NAME,...",
        help="These methods of jacengine only.",
    ),
    click.option(
        "--exclude",
        type=Names(),
        default=(),
        metavar="NAME,...",
        help="Neither these methods nor these libraries.",
    ),
    click.option(
        "--sizes",
        type=SIZE_NAMES,
        default="small",
        show_default=True,
        metavar="SIZE,...",
        help="small, medium, large, or all.",
    ),
    click.option(
        "--device",
        type=Devices(),
        default="cpu",
        show_default=True,
        metavar="DEVICE,...",
        help="cpu, cuda, cuda:1.",
    ),
    click.option(
        "--threads",
        type=Threads(),
        default=(),
        metavar="N,...",
        help="Threads of one operator [default: as many as PyTorch takes].",
    ),
    click.option(
        "--dtype",
        type=DTYPE_NAMES,
        default=(),
        metavar="DTYPE,...",
        help="float64, float32 ... [default: the workload's own].",
    ),
    click.option(
        "--memory-budget",
        type=BudgetText(),
        metavar="SIZE",
        help="What a method may allocate: 512MiB.",
    ),
    click.option(
        "--effort",
        type=click.Choice(["quick", "thorough"]),
        default="quick",
        show_default=True,
        help="How long a case may take: seconds, or half a minute.",
    ),
    click.option(
        "--peers/--no-peers",
        default=True,
        show_default=True,
        help="Measure other libraries too, those that are installed.",
    ),
    click.option(
        "--compiled",
        is_flag=True,
        help="Measure what auto takes as compiled code too: 5 to 50 s more a case.",
    ),
    click.option(
        "--regret", is_flag=True, help="Also print what auto loses against the best."
    ),
    click.option(
        "--list", "listing", is_flag=True, help="List the cases, and measure nothing."
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Say what would be done and how long it may take.",
    ),
    click.option(
        "--out",
        type=_FOLDER,
        metavar="DIR",
        help="Where results and report go [default: reports/bench-DATE-TIME].",
    ),
    click.option(
        "--replace", is_flag=True, help="Replace a sweep that is in DIR already."
    ),
    click.option(
        "--resume", type=_FOLDER, metavar="DIR", help="Go on with the sweep in DIR."
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Of the order in which contenders take turns.",
    ),
    click.option(
        "--shard",
        type=Shard(),
        default="1/1",
        metavar="I/N",
        help="Only the I-th of N shares; see 'jacengine merge'.",
    ),
    click.option(
        "--time-limit",
        type=click.FloatRange(1),
        metavar="SECONDS",
        help="A case that takes longer has hung.",
    ),
    click.option(
        "--catalogue",
        default=CATALOGUE,
        metavar="MODULE:NAME",
        help="Workloads of your own.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress."),
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="What to print on standard output.",
    ),
)


def bench_options(function: _Function) -> _Function:
    """Give a command the options of a sweep, in the order in which help shows them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
