"""The options of `jacengine bench`, and the cases and settings that they select."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import click

from jacengine.bench.workload import Workload
from jacengine.commands import param_types as types
from jacengine.commands.cli_group import CommandError
from jacengine.sweep import cases
from jacengine.sweep.case_spec import CaseSpec, Settings

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SETTINGS = tuple(field.name for field in fields(Settings))
_SELECTION = ("expression", "workloads", "sizes", "device", "threads", "dtype", "shard")


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
        type=types.EXPRESSION,
        default="",
        metavar="EXPR",
        help="Cases whose name matches, as with pytest: 'mlp and not decoder'.",
    ),
    _value(
        "--workloads",
        types.WORKLOAD_LIST,
        "GLOB,...",
        "Names or patterns: 'robot_*'.",
        (),
    ),
    types.STRATEGIES_OPTION,
    types.EXCLUDE_OPTION,
    types.MEMORY_BUDGET_OPTION,
    _value(
        "--sizes", types.SIZE_LIST, "SIZE,...", "small, medium, large, or all.", "small"
    ),
    _value("--device", types.DEVICE_LIST, "DEVICE,...", "cpu, cuda, cuda:1.", "cpu"),
    _value(
        "--threads",
        types.THREADS_LIST,
        "N,...",
        "Threads of one operator [default: PyTorch's default].",
        (),
    ),
    _value(
        "--dtype",
        types.DTYPE_LIST,
        "DTYPE,...",
        "float64, float32 ... [default: the workload's own].",
        (),
    ),
    _value(
        "--effort",
        types.SWEEP_EFFORTS,
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
        types.FOLDER,
        "DIR",
        "The folder of results and report [default: reports/bench-DATE-TIME].",
    ),
    _flag("--replace", text="Replace the sweep that DIR holds."),
    _value("--resume", types.FOLDER, "DIR", "Resume the sweep in DIR."),
    _value("--seed", click.IntRange(0), None, "Seed of the order of candidates.", 0),
    _value(
        "--shard",
        types.shard,
        "I/N",
        "The I-th of N shards; see 'jacengine merge'.",
        "1/1",
    ),
    _value(
        "--time-limit",
        click.FloatRange(1),
        "SECONDS",
        "A case that takes longer counts as hung.",
    ),
    _value(
        "--executor",
        str,
        "MODULE:FACTORY",
        "Measure cases side by side, by an executor, such as "
        "concurrent.futures:ProcessPoolExecutor.",
    ),
    types.CATALOGUE_OPTION,
    _flag("-q", "--quiet", text="Print no progress."),
    types.FORMAT_OPTION,
)


def bench_options(function: _Function) -> _Function:
    """Add the options of a sweep to a command, in the order of its help."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def measured_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options that decide what is measured, as JSON has them.

    A resumed sweep keeps them.
    """
    taken = {name: options[name] for name in (*_SELECTION, *_SETTINGS)}
    found: dict[str, Any] = json.loads(json.dumps(taken))
    return found


def sweep_settings(options: Mapping[str, Any]) -> Settings:
    """Return how cases are measured."""
    return Settings.from_json({name: options[name] for name in _SETTINGS})


def shard_cases(
    options: Mapping[str, Any], workloads: Sequence[Workload]
) -> list[CaseSpec]:
    """List the cases of this shard.

    Raises:
        CommandError: It has none.
    """
    every = cases.select_cases(
        workloads,
        patterns=options["workloads"],
        expression=options["expression"],
        sizes=options["sizes"],
        dtypes=options["dtype"] or ("",),
        devices=options["device"],
        threads=options["threads"] or (None,),
    )
    number, count = options["shard"]
    selected = cases.shard(every, number, count)
    if not selected:
        raise CommandError(
            f"--shard {number}/{count}: there are only {len(every)} cases."
        )
    return selected
