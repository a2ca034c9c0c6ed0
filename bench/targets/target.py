"""What a target is: work, those who do it, and the ratios their times should have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.bench.targets.contest import Contest

PLAN = "plan(x)"
COMPILED = "plan(x), compiled"
"""What jacengine does, in claims: eagerly, and as `plan(compiled=True)`."""


@dataclass(frozen=True)
class Target:
    """Work that has a target.

    Attributes:
        name: `[a-z][a-z0-9_]*`.
        work: What it is, in words.
        size: On how much.
        contest: Sets it up, at a size.
        counts: What the size counts, as a symbol.
    """

    name: str
    work: str
    size: int
    contest: Callable[[int], Contest]
    counts: str = "B"


@dataclass(frozen=True)
class Family:
    """Targets that are measured together.

    Attributes:
        name: `[a-z][a-z0-9_]*`.
        title: In words.
        targets: In the order in which the table shows them.
        notes: How their times are to be read, in sentences.
        libraries: The distributions whose versions matter.
    """

    name: str
    title: str
    targets: tuple[Target, ...]
    notes: str
    libraries: tuple[str, ...]


def named(*names: str) -> tuple[Baseline, ...]:
    """Return the baselines of these names."""
    found = tuple(b for b in BASELINES if b.name in names)
    assert len(found) == len(names)
    return found
