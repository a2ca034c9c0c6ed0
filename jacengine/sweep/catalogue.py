"""Workloads by `MODULE:NAME`, the user's own among them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, nearest


def load_object(place: str) -> Any:
    """Import a module, of the current folder too, and return one of its names.

    Args:
        place: As `MODULE:NAME`.

    Returns:
        The object.

    Raises:
        ArgumentError: There is none, or the module cannot be imported.
    """
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise ArgumentError(
            f"{place!r}: expected MODULE:NAME, as in 'mymodels:build_mlp'."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ArgumentError(
            f"{module_name!r} cannot be imported: {type(error).__name__}: {error}."
        ) from error
    if not hasattr(module, name):
        raise ArgumentError(
            f"{module_name!r} has no {name!r}.{nearest(name, vars(module))}"
        )
    return getattr(module, name)


def load_workloads(place: str) -> tuple[Workload, ...]:
    """Return the workloads of a catalogue.

    Args:
        place: As `MODULE:NAME`, the name of one workload or of several.

    Raises:
        ArgumentError: It holds anything else, or two of the same name.
    """
    found = load_object(place)
    workloads = (found,) if isinstance(found, Workload) else found
    if not isinstance(workloads, Iterable):
        raise ArgumentError(f"{place!r} is a {type(found).__name__}, no workloads.")
    listed = tuple(workloads)
    for workload in listed:
        if not isinstance(workload, Workload):
            raise ArgumentError(
                f"{place!r} holds a {type(workload).__name__}; expected "
                "jacengine.bench.workload.Workload."
            )
    names = [workload.name for workload in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"{place!r} has {twice[0]!r} more than once.")
    return listed
