"""The cases of a sweep, in order."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence
from typing import TypeVar

from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, nearest
from jacengine.sweep.case_spec import CaseSpec
from jacengine.sweep.expression import compile_expression

SIZES = ("small", "medium", "large")
_Item = TypeVar("_Item")


def select_cases(
    workloads: Sequence[Workload],
    *,
    patterns: Sequence[str] = (),
    expression: str = "",
    sizes: Sequence[str] = ("small",),
    dtypes: Sequence[str] = ("",),
    devices: Sequence[str] = ("cpu",),
    threads: Sequence[int | None] = (None,),
) -> list[CaseSpec]:
    """List all combinations of workloads and options, the small sizes first.

    Args:
        workloads: The workloads to select from.
        patterns: Shell patterns of workload names; an empty list selects all.
        expression: As pytest's `-k`, matched against names of cases and sizes.
        sizes: Some of `"small"`, `"medium"`, `"large"`.
        dtypes: Names of dtypes; an empty name is the workload's own.
        devices: Names of devices.
        threads: Threads of one operator; `None` is PyTorch's default.

    Raises:
        ArgumentError: A pattern matches no workload, or no case is left.
    """
    names = [workload.name for workload in workloads]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ArgumentError(
                f"No workload is called {pattern!r}.{nearest(pattern, names)} "
                "'jacengine workloads' lists them."
            )
    selected = [
        workload
        for workload in workloads
        if any(fnmatch.fnmatchcase(workload.name, p) for p in patterns or ("*",))
    ]
    matches = compile_expression(expression)
    specs: dict[str, CaseSpec] = {}
    for label, workload in itertools.product(sizes, selected):
        size = workload.sizes[SIZES.index(label)]
        for dtype, device, count in itertools.product(dtypes, devices, threads):
            spec = CaseSpec(workload.name, size, dtype, device, count)
            if matches(f"{spec.name}/{label}"):
                specs.setdefault(spec.name, spec)
    if not specs:
        raise ArgumentError(
            f"The expression {expression!r} leaves no case. 'jacengine bench --list' "
            "lists all cases."
        )
    return list(specs.values())


def shard(items: Sequence[_Item], number: int, count: int) -> list[_Item]:
    """Return every `count`-th item, beginning with the `number`-th (from 1)."""
    return list(items[number - 1 :: count])
