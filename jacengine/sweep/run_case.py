"""Candidates of one case compared: verified, timed in interleaved rounds, counted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping

import torch

from jacengine.report.case import Row
from jacengine.selection.reference import Reference
from jacengine.sweep.candidate import Candidate
from jacengine.sweep.limits import Limits
from jacengine.timing import time_interleaved


def run_case(
    found: Iterable[Candidate | Row],
    reference: Reference,
    device: torch.device,
    limits: Limits,
    *,
    seed: int,
    announce: Callable[[str], None],
) -> list[Row]:
    """Verify all candidates, time those near the best, and count memory and FLOPs.

    The best is the best of our eager candidates: compiled code may be so far ahead that
    no other candidate would be near it, and their differences are of interest too.

    Args:
        found: Candidates to run, and rows of those that do not run.
        reference: The reference derivative.
        device: The device that they run on.
        limits: How long it may take.
        seed: Seed of the order of candidates in each round.
        announce: Called with the name of what runs next.

    Returns:
        The rows of all, `auto` first if it took part.
    """
    candidates: list[Candidate] = []
    rows: list[Row] = []
    best_s = math.inf
    for candidate in found:
        if isinstance(candidate, Row):
            rows.append(candidate)
            continue
        candidates.append(candidate)
        candidate.verify(reference, device, limits, limits.first_run_s(best_s))
        eager = candidate.row.kind in {"strategy", "auto"}
        if candidate.correct and (eager or best_s == math.inf):
            best_s = min(best_s, candidate.best_s)
    announce("rounds")
    near_s = max(limits.near * best_s, limits.short_s)
    near = [
        candidate
        for candidate in candidates
        if candidate.correct
        and (candidate.best_s <= near_s or candidate.row.kind in {"auto", "compiled"})
    ]
    time_candidates(near, device, limits, seed)
    for candidate in candidates:
        announce(candidate.row.strategy)
        candidate.count(device, limits)
    return [*(candidate.row for candidate in candidates), *rows]


def time_candidates(
    candidates: Iterable[Candidate], device: torch.device, limits: Limits, seed: int
) -> None:
    """Time candidates in interleaved rounds; the slow ones take part in fewer."""
    numbered = dict(enumerate(candidates))
    rounds = {
        i: limits.rounds_of(candidate.best_s, len(numbered))
        for i, candidate in numbered.items()
    }

    def participants(times: Mapping[int, list[float]]) -> list[int]:
        return [i for i, taken in times.items() if len(taken) < rounds[i]]

    found = time_interleaved(
        {i: candidate.run for i, candidate in numbered.items()},
        device,
        rounds=limits.rounds,
        participants=participants,
        shuffle=random.Random(seed),  # noqa: S311 - an order, no secret
    )
    for i, times in found.times.items():
        numbered[i].record(times)
    for i, error in found.failures.items():
        numbered[i].fail(error)
