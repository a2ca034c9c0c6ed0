"""Contenders against each other: verified, timed in turns, weighed."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from jacengine.report.case import Row
from jacengine.selection.reference import Reference
from jacengine.sweep.candidate import Contender
from jacengine.sweep.candidate_row import Entry
from jacengine.sweep.limits import Limits
from jacengine.sweep.messages import Tell
from jacengine.sweep.rounds import interleaved


def contest(
    contenders: Iterable[Contender | Row],
    reference: Reference,
    device: torch.device,
    limits: Limits,
    *,
    seed: int,
    tell: Tell,
) -> list[Row]:
    """Verify everybody, let those near our best take turns, and weigh the brief.

    Near our eager ones, and not near the best of all: compiled code may be so far ahead
    that nobody would be near it, and the differences of the others are wanted too.

    Args:
        contenders: Who runs, and what is to be said of those who do not.
        reference: What is right.
        device: Where.
        limits: How long it may take.
        seed: Of the order of turns.
        tell: Told who runs next.

    Returns:
        What became of everybody, `auto` first if it took part.
    """
    entries: list[Entry] = []
    rows: list[Row] = []
    best_s = math.inf
    for found in contenders:
        if isinstance(found, Row):
            rows.append(found)
            continue
        entry = Entry(found, device)
        entries.append(entry)
        entry.verify(reference, limits.first_run_s(best_s))
        if entry.right and entry.best_s <= limits.least_s:
            entry.again()
        ours = entry.row.kind in {"strategy", "auto"}
        if entry.right and (ours or best_s == math.inf):
            best_s = min(best_s, entry.best_s)
    near_s = max(limits.near * best_s, limits.brief_s)
    racing = {
        str(place): entry
        for place, entry in enumerate(entries)
        if entry.right
        and (entry.best_s <= near_s or entry.row.kind in {"auto", "compiled"})
    }
    tell("rounds")
    times = interleaved(
        {place: entry.best_s for place, entry in racing.items()},
        lambda place: racing[place].time(),
        limits,
        seed,
    )
    for place, entry in racing.items():
        entry.keep(times[place])
    for entry in entries:
        tell(entry.row.strategy)
        entry.measure_peak(limits)
    return [*(entry.row for entry in entries), *rows]
