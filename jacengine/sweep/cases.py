"""Which cases a sweep consists of, in which order."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence
from typing import TypeVar

from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, nearest
from jacengine.sweep.case_spec import Trial
from jacengine.sweep.expression import compile_expression

SIZES = ("small", "medium", "large")
_Item = TypeVar("_Item")


def agenda(
    workloads: Sequence[Workload],
    *,
    patterns: Sequence[str] = (),
    expression: str = "",
    sizes: Sequence[str] = ("small",),
    dtypes: Sequence[str] = ("",),
    devices: Sequence[str] = ("cpu",),
    threads: Sequence[int | None] = (None,),
) -> list[Trial]:
    """List the cases that are asked for, the small ones first.

    Args:
        workloads: The workloads there are.
        patterns: Of names, as the shell's; none means all.
        expression: As pytest's `-k`; matched with the names of cases and their sizes.
        sizes: `"small"`, `"medium"`, `"large"`.
        dtypes: Empty for the workload's own.
        devices: Where.
        threads: Threads of one operator; `None` for torch's own choice.

    Raises:
        ArgumentError: A pattern matches no workload, or nothing is left.
    """
    chosen = _matching(workloads, patterns)
    matches = compile_expression(expression) if expression.strip() else None
    trials: dict[str, Trial] = {}
    for label, workload in itertools.product(sizes, chosen):
        size = workload.sizes[SIZES.index(label)]
        for dtype, device, count in itertools.product(dtypes, devices, threads):
            trial = Trial(workload.name, size, dtype, device, count)
            if matches is None or matches(f"{trial.name}/{label}"):
                trials.setdefault(trial.name, trial)
    if not trials:
        raise ArgumentError(
            f"The expression {expression!r} leaves no case. 'jacengine bench --list' "
            "lists them."
        )
    return list(trials.values())


def shard(items: Sequence[_Item], number: int, count: int) -> list[_Item]:
    """Return every `count`-th item, from the `number`-th on, which counts from 1."""
    return list(items[number - 1 :: count])


def _matching(workloads: Sequence[Workload], patterns: Sequence[str]) -> list[Workload]:
    if not patterns:
        return list(workloads)
    names = [workload.name for workload in workloads]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ArgumentError(
                f"No workload is called {pattern!r}.{nearest(pattern, names)} "
                "'jacengine workloads' lists them."
            )
    return [
        workload
        for workload in workloads
        if any(fnmatch.fnmatchcase(workload.name, pattern) for pattern in patterns)
    ]
