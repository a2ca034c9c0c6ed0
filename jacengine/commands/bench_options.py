"""The options of `jacengine bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jacengine.commands.param_types import (
    CATALOGUE_OPTION,
    DEVICE_LIST,
    DTYPE_LIST,
    EFFORTS,
    EXCLUDE_OPTION,
    FOLDER,
    FORMAT_OPTION,
    MEMORY_BUDGET_OPTION,
    NAMES,
    SIZE_LIST,
    STRATEGIES_OPTION,
    THREADS_LIST,
    shard,
)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _value(
    flag: str, kind: Any, metavar: str | None, text: str, default: Any = None
) -> Callable[[_Function], _Function]:
    return click.option(flag, type=kind, metavar=metavar, help=text, default=default)


def _flag(*names: str, text: str) -> Callable[[_Function], _Function]:
    return click.option(*names, is_flag=True, help=text)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "-k",
        "expression",
        default="",
        metavar="EXPR",
        help="Cases whose name matches, as with pytest: 'mlp and not decoder'.",
    ),
    _value("--workloads", NAMES, "GLOB,...", "Names or patterns: 'robot_*'.", ()),
    STRATEGIES_OPTION,
    EXCLUDE_OPTION,
    MEMORY_BUDGET_OPTION,
    _value("--sizes", SIZE_LIST, "SIZE,...", "small, medium, large, or all.", "small"),
    _value("--device", DEVICE_LIST, "DEVICE,...", "cpu, cuda, cuda:1.", "cpu"),
    _value(
        "--threads",
        THREADS_LIST,
        "N,...",
        "Threads of one operator [default: PyTorch's default].",
        (),
    ),
    _value(
        "--dtype",
        DTYPE_LIST,
        "DTYPE,...",
        "float64, float32 ... [default: the workload's own].",
        (),
    ),
    _value(
        "--effort",
        EFFORTS,
        None,
        "How long a case may take: seconds, or half a minute.",
        "quick",
    ),
    click.option(
        "--peers/--no-peers", default=True, help="Measure other installed libraries."
    ),
    _flag(
        "--compiled",
        text="Measure auto's choice as compiled code too: 5 to 50 s more a case.",
    ),
    _flag("--regret", text="Also print the loss of auto against the best method."),
    _flag("--list", "listing", text="List the cases, and measure nothing."),
    _flag("--dry-run", text="List the cases with a forecast, and measure nothing."),
    _value(
        "--out",
        FOLDER,
        "DIR",
        "The folder of results and report [default: reports/bench-DATE-TIME].",
    ),
    _flag("--replace", text="Replace the sweep that DIR holds."),
    _value("--resume", FOLDER, "DIR", "Resume the sweep in DIR."),
    _value("--seed", click.IntRange(0), None, "Seed of the order of candidates.", 0),
    _value(
        "--shard", shard, "I/N", "The I-th of N shards; see 'jacengine merge'.", "1/1"
    ),
    _value(
        "--time-limit",
        click.FloatRange(1),
        "SECONDS",
        "A case that takes longer counts as hung.",
    ),
    CATALOGUE_OPTION,
    _flag("-q", "--quiet", text="Print no progress."),
    FORMAT_OPTION,
)


def bench_options(function: _Function) -> _Function:
    """Add the options of a sweep to a command, in the order of its help."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
