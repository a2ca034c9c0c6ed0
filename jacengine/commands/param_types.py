"""The types of options: lists of names, sizes, shards, budgets, tolerances."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click
import torch

from jacengine.errors import ArgumentError, nearest
from jacengine.problem.quantity import PARTS
from jacengine.selection.budget import to_bytes
from jacengine.sweep.cases import SIZES

DTYPES = ("float64", "float32", "float16", "bfloat16")


class Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas; of a known set, if there is one."""

    name = "names"

    def __init__(self, known: Sequence[str] = (), everything: str = "") -> None:
        """Describe what is expected.

        Args:
            known: What a name may be; anything, if empty.
            everything: A word that stands for all known names.
        """
        self._known = tuple(known)
        self._everything = everything

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the names apart."""
        if isinstance(value, tuple):
            return value
        found = [part.strip() for part in _split(str(value)) if part.strip()]
        if not found:
            self.fail("expected a name, or several separated by commas", param, ctx)
        if self._everything and self._everything in found:
            return self._known
        for name in found:
            if self._known and name not in self._known:
                known = (*self._known, *filter(None, [self._everything]))
                hint = nearest(name, known)
                self.fail(f"{name!r} is none of {', '.join(known)}.{hint}", param, ctx)
        return tuple(dict.fromkeys(found))


class Threads(click.ParamType[tuple[int, ...]]):
    """Numbers of threads, separated by commas."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(re.fullmatch(r"[1-9]\d{0,3}", part) for part in parts):
            self.fail(f"{value!r} is no number of threads, as 1 or 1,2", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


class Devices(Names):
    """Devices of torch that are there, separated by commas."""

    name = "devices"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Check that the devices exist."""
        found = super().convert(value, param, ctx)
        for name in found:
            if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
                self.fail(f"{name!r} is neither 'cpu' nor 'cuda'.", param, ctx)
            if name == "cpu":
                continue
            number = int(name.partition(":")[2] or 0)
            if number >= torch.cuda.device_count():
                self.fail(
                    f"there is no {name!r}: this installation of PyTorch sees "
                    f"{torch.cuda.device_count()} CUDA devices",
                    param,
                    ctx,
                )
        return found


class Shard(click.ParamType[tuple[int, int]]):
    """A share of a sweep, `i/n`."""

    name = "i/n"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read the two numbers."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no share, as 1/4 (the first of four)", param, ctx)
        return int(found[1]), int(found[2])


class BudgetText(click.ParamType[str]):
    """A memory budget, kept as it was written."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check that it can be read."""
        try:
            to_bytes(str(value), torch.device("cpu"))
        except ArgumentError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class Tolerances(click.ParamType[dict[str, float]]):
    """What may change by how much: `time:10%,memory:5%`."""

    name = "tolerances"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        """Read the shares."""
        if isinstance(value, dict):
            return value
        found: dict[str, float] = {}
        for part in str(value).split(","):
            match = re.fullmatch(r"\s*([a-z]+)\s*:\s*(\d+(?:\.\d+)?)\s*%\s*", part)
            if match is None:
                self.fail(f"{part!r}: expected as in time:10%,memory:5%", param, ctx)
            if match[1] not in {"time", "memory"}:
                hint = nearest(match[1], ("time", "memory"))
                self.fail(f"{match[1]!r} is neither time nor memory.{hint}", param, ctx)
            found[match[1]] = float(match[2]) / 100
        return found


QUANTITY = click.option(
    "--quantity",
    type=click.Choice(list(PARTS)),
    default="jacobian",
    show_default=True,
    help="What to compute of the function.",
)
SIZE_NAMES = Names(SIZES, everything="all")
DTYPE_NAMES = Names(DTYPES)


def _split(text: str) -> list[str]:
    """Split at commas that stand in no parentheses: names of libraries have some."""
    return re.split(r",(?![^()]*\))", text)
