"""The generators of sections, by name."""

from __future__ import annotations

from collections.abc import Callable

from docs.generate import benchmarks, strategies
from docs.generate.commands import commands
from docs.generate.gallery import gallery

GENERATORS: dict[str, Callable[[], str]] = {
    "benchmarks": benchmarks.benchmarks,
    "commands": commands,
    "gallery": gallery,
    "second-order": strategies.second_order,
    "speed": benchmarks.speed,
    "strategies": strategies.descriptions,
    "strategy-table": strategies.table,
}
