"""Several ways to one result, timed in turn; their ratios are held to targets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from jacengine.bench.baselines import Baseline
from jacengine.bench.workload import Question, Workload
from jacengine.timing import seconds

LIBRARIES = "best library"
"""In a claim: the fastest of a contest's libraries whose result is right."""
SLOW_S = 0.1
"""Who takes longer runs in a few rounds only ..."""
FEW = 3
"""... namely so many."""
PATIENCE_S = 10.0
"""After it, a contest ends as soon as everybody ran in a few rounds."""
TOLERANCE = 1e-3
"""Of float32 results, relative to the largest entry of a parameter's block."""


@dataclass(frozen=True)
class Entrant:
    """A way to the result.

    Attributes:
        run: Computes it.
        times: What its time is multiplied with, if it does a part of the work only.
    """

    run: Callable[[], object]
    times: float = 1.0


@dataclass(frozen=True)
class Claim:
    """A ratio of two times, or of two amounts of memory, and what it should be.

    Attributes:
        over: The entrant whose time is divided ...
        under: ... by this one's; either may be a group of the contest, which stands for
            its fastest.
        target: What the ratio should be ...
        at_least: ... at least; else at most.
    """

    over: str
    under: str
    target: float
    at_least: bool = False


@dataclass(frozen=True)
class Contest:
    """Who takes part, and what is claimed.

    Attributes:
        entrants: By name; libraries among them only if their result is right.
        claims: What their times are held to.
        groups: Entrants that a claim may name together, such as `LIBRARIES`.
        out: Libraries that do not take part, and why not.
        amounts: What is claimed about but not timed: bytes, by name.
    """

    entrants: Mapping[str, Entrant]
    claims: tuple[Claim, ...]
    groups: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]]
    )
    out: Mapping[str, str] = field(default_factory=dict[str, str])
    amounts: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Finding:
    """What became of a claim.

    Attributes:
        claim: In words, as a quotient.
        target: In words.
        ratio: What was found; `None` if there is nobody to compare with.
        met: Whether that is as it should be; `None` if it is not known.
    """

    claim: str
    target: str
    ratio: float | None
    met: bool | None


@dataclass(frozen=True)
class Outcome:
    """A contest that was held.

    Attributes:
        findings: What became of the claims.
        times_s: The median time of every entrant.
        rounds: How often each of them ran.
        amounts: Bytes, by name.
        out: Libraries that did not take part, and why not.
    """

    findings: tuple[Finding, ...]
    times_s: dict[str, float]
    rounds: dict[str, int]
    amounts: dict[str, float]
    out: dict[str, str]


def enter(
    libraries: Iterable[Baseline],
    workload: Workload,
    size: int,
    question: Question,
    J: Any,
) -> tuple[dict[str, Entrant], dict[str, str]]:
    """Prepare libraries and compare what they compute with the right result.

    Args:
        libraries: Who may take part.
        workload: What is asked for; its tiny size is tried first.
        size: At which size.
        question: The same, built.
        J: The right result.

    Returns:
        Those whose result is right, and of the others why they do not take part.
    """
    entrants: dict[str, Entrant] = {}
    out: dict[str, str] = {}
    for library in libraries:
        found = _entered(library, workload, size, question, J)
        if isinstance(found, Entrant):
            entrants[library.name] = found
        else:
            out[library.name] = found
    return entrants, out


def _entered(
    library: Baseline, workload: Workload, size: int, question: Question, J: Any
) -> Entrant | str:
    """Prepare a library, or say why it does not take part."""
    absent = library.missing()
    if absent is not None:
        return absent
    refusal = library.check(workload, size, question)
    if refusal is not None:
        return f"cannot: {refusal.reason}"
    try:
        prepared = library.prepare(workload, size, question)
        error = distance(prepared(), J)
    except Exception as raised:
        said = next(iter(str(raised).splitlines()), "")
        return f"cannot: {type(raised).__name__}: {said}"
    if error > TOLERANCE:
        return f"wrong: off by {error:.2g} of a block's largest entry"
    return Entrant(prepared.run)


def distance(found: Any, expected: Any) -> float:
    """Return the largest error, relative to the largest entry of its block.

    Blocks that are zero but for rounding are judged by the scale of the others.
    """
    theirs, nested = pytree.tree_flatten(found)
    ours, wanted = pytree.tree_flatten(expected)
    if nested != wanted or [a.shape for a in theirs] != [b.shape for b in ours]:
        return float("inf")
    scales = [float(block.abs().max()) for block in ours]
    floor = max(1e-3 * max(scales), torch.finfo(ours[0].dtype).tiny)
    errors = [
        float((a - b).abs().max()) / max(scale, floor)
        for a, b, scale in zip(theirs, ours, scales, strict=True)
    ]
    # Not max(): it would lose what is not a number.
    return float(torch.tensor(errors).nan_to_num(nan=float("inf")).max())


def hold(contest: Contest, rounds: int) -> Outcome:
    """Time all entrants in turn, and judge the claims by their medians."""
    times = _interleaved(contest.entrants, rounds)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return Outcome(
        findings=tuple(_judged(claim, contest, medians) for claim in contest.claims),
        times_s=medians,
        rounds={name: len(taken) for name, taken in times.items()},
        amounts=dict(contest.amounts),
        out=dict(contest.out),
    )


def _interleaved(
    entrants: Mapping[str, Entrant], rounds: int
) -> dict[str, list[float]]:
    """Return the times of each entrant, over rounds that take them in turn."""
    times: dict[str, list[float]] = {name: [] for name in entrants}
    device = torch.device("cpu")
    deadline = time.monotonic() + PATIENCE_S
    for entrant in entrants.values():
        entrant.run()
    for number in range(rounds):
        if number >= FEW and time.monotonic() > deadline:
            break
        for name in list(entrants) if number % 2 else list(entrants)[::-1]:
            entrant = entrants[name]
            slow = bool(times[name]) and min(times[name]) > SLOW_S * entrant.times
            if number < FEW or not slow:
                taken = seconds(entrant.run, device) * entrant.times
                times[name].append(taken)
    return times


def _judged(claim: Claim, contest: Contest, medians: Mapping[str, float]) -> Finding:
    values = {**medians, **contest.amounts}
    said: list[str] = []
    for name in (claim.over, claim.under):
        members = [one for one in contest.groups.get(name, ()) if one in medians]
        if members:
            best = min(members, key=lambda one: medians[one])
            values[name] = medians[best]
            said.append(f"{name} ({best})")
        else:
            said.append(name)
    target = f"{'>=' if claim.at_least else '<='} {claim.target:g}"
    words = " / ".join(said)
    if claim.over not in values or claim.under not in values:
        # Nobody is right: nobody is faster. Whoever is not installed might be.
        missing = any("is not installed" in reason for reason in contest.out.values())
        return Finding(words, target, None, None if missing else True)
    ratio = values[claim.over] / values[claim.under]
    met = ratio >= claim.target if claim.at_least else ratio <= claim.target
    return Finding(words, target, ratio, met)
