"""Types of option values, and options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import click
import torch

from jacengine.api.strategies import known_strategies
from jacengine.bench.baselines import BASELINES
from jacengine.commands.completion import CommaSeparated, Completed, NearestChoice
from jacengine.commands.output import FORMATS, LIST_FORMATS
from jacengine.errors import ArgumentError, nearest
from jacengine.problem.quantity import PARTS
from jacengine.selection.budget import to_bytes
from jacengine.selection.effort import Effort
from jacengine.sweep.case_spec import CATALOGUE
from jacengine.sweep.case_spec import Effort as SweepEffort
from jacengine.sweep.cases import SIZES
from jacengine.sweep.catalogue import load_workloads

DTYPES = ("float64", "float32", "float16", "bfloat16")
FOLDER = click.Path(path_type=Path, file_okay=False)
RUN = click.Path(path_type=Path)


def device(value: str) -> str:
    """Check that PyTorch has a device."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        hint = nearest(value, ("cpu", "cuda"))
        raise click.BadParameter(f"{value!r} is neither 'cpu' nor 'cuda'.{hint}")
    count = torch.cuda.device_count()
    if value != "cpu" and int(value.partition(":")[2] or 0) >= count:
        raise click.BadParameter(
            f"there is no {value!r}: this installation of PyTorch sees {count} CUDA "
            "devices"
        )
    return value


def shard(value: str) -> tuple[int, int]:
    """Read a shard `i/n`."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r} is no shard, as 1/4 (the first of four)")
    return int(found[1]), int(found[2])


def memory_budget(value: str) -> str:
    """Check a memory budget, which is kept as text."""
    try:
        to_bytes(value, torch.device("cpu"))
    except ArgumentError as error:
        raise click.BadParameter(str(error)) from error
    return value


def tolerances(value: str) -> dict[str, float]:
    """Read relative tolerances: `time:10%,memory:5%`."""
    found: dict[str, float] = {}
    for part in value.split(","):
        match = re.fullmatch(r"\s*([a-z]+)\s*:\s*(\d+(?:\.\d+)?)\s*%\s*", part)
        if match is None:
            raise click.BadParameter(f"{part!r}: expected as in time:10%,memory:5%")
        if match[1] not in {"time", "memory"}:
            hint = nearest(match[1], ("time", "memory"))
            raise click.BadParameter(f"{match[1]!r} is neither time nor memory.{hint}")
        found[match[1]] = float(match[2]) / 100
    return found


def _strategies(ctx: click.Context) -> Iterable[str]:
    """List the strategies of the quantity that is given, or else of all."""
    quantity = ctx.params.get("quantity")
    registry = known_strategies()
    quantities = PARTS if quantity is None else (quantity,)
    return (name for q in quantities for name in registry.names(q))


def _methods(ctx: click.Context) -> Iterable[str]:
    """List the strategies, and the libraries that are compared with."""
    return {*_strategies(ctx), *(baseline.name for baseline in BASELINES)}


def _workloads(ctx: click.Context) -> Iterable[str]:
    found = load_workloads(ctx.params.get("catalogue") or CATALOGUE)
    return (workload.name for workload in found)


def _words(ctx: click.Context) -> Iterable[str]:
    """List the words of an expression for cases."""
    return {*_workloads(ctx), *SIZES, "and", "or", "not"}


def _devices(_: click.Context) -> Iterable[str]:
    count = torch.cuda.device_count()
    return ("cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count)))


STRATEGY_LIST = CommaSeparated(Completed(click.STRING, _strategies))
METHOD_LIST = CommaSeparated(Completed(click.STRING, _methods))
WORKLOAD_LIST = CommaSeparated(Completed(click.STRING, _workloads))
EXPRESSION = Completed(click.STRING, _words, words=True)
WRT = CommaSeparated(Completed(click.STRING, lambda _: ("0", "inputs", "params")))
SIZE_LIST = CommaSeparated(NearestChoice([*SIZES, "all"]), all_items=SIZES)
DTYPE_LIST = CommaSeparated(NearestChoice(DTYPES))
DEVICE_LIST = CommaSeparated(Completed(click.types.FuncParamType(device), _devices))
THREADS = click.IntRange(1, 9999)
THREADS_LIST = CommaSeparated(THREADS)


SWEEP_EFFORTS = NearestChoice(list(get_args(SweepEffort)))
EFFORTS = NearestChoice(list(get_args(Effort)))
QUANTITIES = NearestChoice(list(PARTS))

CATALOGUE_OPTION = click.option(
    "--catalogue",
    default=CATALOGUE,
    metavar="MODULE:NAME",
    help="Workloads of your own.",
)
STRATEGIES_OPTION = click.option(
    "--strategies",
    type=STRATEGY_LIST,
    metavar="NAME,...",
    help="Use these methods of jacengine only.",
)
EXCLUDE_OPTION = click.option(
    "--exclude",
    type=METHOD_LIST,
    default=(),
    metavar="NAME,...",
    help="Leave out these methods and libraries.",
)
MEMORY_BUDGET_OPTION = click.option(
    "--memory-budget",
    type=memory_budget,
    metavar="SIZE",
    help="The largest allocation of a method: 512MiB.",
)
FORMAT_OPTION, LIST_FORMAT_OPTION = (
    click.option(
        "--format",
        "form",
        type=NearestChoice(forms),
        default="table",
        help="The format of standard output.",
    )
    for forms in (FORMATS, LIST_FORMATS)
)
