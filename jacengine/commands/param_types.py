"""Types of option values, and options that several commands have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
import torch

from jacengine.commands.output import FORMATS, LIST_FORMATS
from jacengine.errors import ArgumentError, nearest
from jacengine.problem.quantity import PARTS
from jacengine.selection.budget import to_bytes
from jacengine.sweep.case_spec import CATALOGUE
from jacengine.sweep.cases import SIZES

_Item = TypeVar("_Item")
DTYPES = ("float64", "float32", "float16", "bfloat16")
FOLDER = click.Path(path_type=Path, file_okay=False)
RUN = click.Path(path_type=Path)


class NearestChoice(click.Choice[str]):
    """A choice whose error message names the nearest value."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Append the nearest value."""
        message = super().get_invalid_choice_message(value, ctx)
        return message + nearest(str(value), self.choices)


class CommaSeparated(click.ParamType[tuple[_Item, ...]], Generic[_Item]):
    """Values separated by commas outside parentheses, which names of libraries have."""

    name = "list"

    def __init__(
        self, item: click.ParamType[_Item], all_items: tuple[_Item, ...] = ()
    ) -> None:
        """Take the type of each value, and what the word `all` stands for."""
        self._item = item
        self._all = all_items

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[_Item, ...]:
        """Split the text, convert each value and drop duplicates."""
        if isinstance(value, tuple):
            return value
        split = re.split(r",(?![^()]*\))", str(value))
        parts = [part.strip() for part in split if part.strip()]
        if not parts:
            self.fail("expected a value, or several separated by commas", param, ctx)
        if self._all and "all" in parts:
            return self._all
        items = [self._item.convert(part, param, ctx) for part in parts]
        return tuple(dict.fromkeys(items))


def device(value: str) -> str:
    """Check that PyTorch has a device."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is neither 'cpu' nor 'cuda'.")
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


NAMES = CommaSeparated(click.STRING)
SIZE_LIST = CommaSeparated(NearestChoice([*SIZES, "all"]), all_items=SIZES)
DTYPE_LIST = CommaSeparated(NearestChoice(DTYPES))
DEVICE_LIST = CommaSeparated(click.types.FuncParamType(device))
THREADS = click.IntRange(1, 9999)
THREADS_LIST = CommaSeparated(THREADS)


EFFORTS = click.Choice(["quick", "thorough"])
QUANTITIES = click.Choice(list(PARTS))

CATALOGUE_OPTION = click.option(
    "--catalogue",
    default=CATALOGUE,
    metavar="MODULE:NAME",
    help="Workloads of your own.",
)
STRATEGIES_OPTION = click.option(
    "--strategies",
    type=NAMES,
    metavar="NAME,...",
    help="Use these methods of jacengine only.",
)
EXCLUDE_OPTION = click.option(
    "--exclude",
    type=NAMES,
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
        type=click.Choice(forms),
        default="table",
        help="The format of standard output.",
    )
    for forms in (FORMATS, LIST_FORMATS)
)
