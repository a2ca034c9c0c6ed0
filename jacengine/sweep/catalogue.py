"""Catalogues of workloads, imported as `MODULE:NAME`."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, kind_of, nearest

_OTHERS = re.compile(r"/site-packages/|<frozen |/jacengine/|/importlib/")
"""Files whose lines are not the user's."""


def load_object(place: str) -> Any:
    """Import an object from a module, which may be in the current folder.

    Args:
        place: As `MODULE:NAME`.

    Raises:
        ArgumentError: The module cannot be imported or has no such name.
    """
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise ArgumentError(
            f"{place!r}: expected MODULE:NAME, as in 'mymodels:build_mlp'."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: nothing there may shadow other modules
    if module_name.endswith(".py"):
        named = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise ArgumentError(
            f"{place!r}: expected the name of a module, not a file: {named}:{name}."
        )
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"{module_name!r} cannot be imported: {describe_error(error)}."
        ) from error
    if not hasattr(module, name):
        raise ArgumentError(
            f"{module_name!r} has no {name!r}.{nearest(name, vars(module))}"
        )
    return getattr(module, name)


def describe_error(error: BaseException) -> str:
    """Describe an exception, and the line of the user's that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not _OTHERS.search(f.filename.replace("\\", "/"))]
    said = f"{type(error).__name__}: {error}".removesuffix(": ").rstrip(".")
    if not own:
        return said
    return f"{said} ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def load_workloads(place: str) -> tuple[Workload, ...]:
    """Import the workloads of a catalogue.

    Args:
        place: As `MODULE:NAME`, the name of one workload or of an iterable of them.

    Raises:
        ArgumentError: It holds anything else, or two workloads of one name.
    """
    found = load_object(place)
    workloads = (found,) if isinstance(found, Workload) else found
    if not isinstance(workloads, Iterable):
        raise ArgumentError(f"{place!r} holds no workloads.")
    listed = tuple(workloads)
    for workload in listed:
        if not isinstance(workload, Workload):
            raise ArgumentError(
                f"{place!r} holds {kind_of(workload)}; expected "
                "jacengine.bench.workload.Workload."
            )
    for name, count in Counter(workload.name for workload in listed).items():
        if count > 1:
            raise ArgumentError(f"{place!r} has {name!r} more than once.")
    return listed
