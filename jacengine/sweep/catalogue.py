"""Catalogues of workloads, imported as `MODULE:NAME`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jacengine._load_object import load_object
from jacengine.bench.workload import Workload
from jacengine.errors import ArgumentError, kind_of


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
