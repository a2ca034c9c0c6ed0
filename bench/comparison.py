"""Comparisons of plans with other computations of the same result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import jacengine
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.bench.workload import DerivativeSpec, Workload

LIBRARIES = "best library"
"""In a claim: every library of the comparison whose result is right."""


@dataclass(frozen=True)
class Run:
    """A computation to time.

    Attributes:
        call: Computes it.
        scale: The factor of its time, if it does a part of the work only.
    """

    call: Callable[[], object]
    scale: float = 1.0


RunBuilder = Callable[[DerivativeSpec], Run]


@dataclass(frozen=True)
class Claim:
    """A target for the ratio of two times, or of two numbers of bytes.

    Attributes:
        plan: The name of the run of a plan.
        other: The name of a run, or of a group of the comparison, to compare it with.
        target: The ratio.
        speedup: Whether other / plan should be at least the target; otherwise
            plan / other should be at most the target.
    """

    plan: str
    other: str
    target: float
    speedup: bool = False

    def record(
        self, plan: float | None = None, other: float | None = None, run: str = ""
    ) -> dict[str, Any]:
        """Return the claim with the ratio that was measured, for JSON.

        Args:
            plan: The median time of the plan; `None` if it was not measured.
            other: The median time of the other run.
            run: The name of the other run, if it is one of a group.

        Returns:
            The ratio in words, its target, its value, and whether that is met.
        """
        quotient = (self.other, self.plan) if self.speedup else (self.plan, self.other)
        ratio = met = None
        if plan is not None and other is not None:
            ratio = other / plan if self.speedup else plan / other
            met = ratio >= self.target if self.speedup else ratio <= self.target
        return {
            "claim": " / ".join(quotient),
            "run": run,
            "ratio": ratio,
            "target": f"{'>=' if self.speedup else '<='} {self.target:g}",
            "met": met,
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of a workload at a size, and claims about their times.

    Attributes:
        name: `[a-z][a-z0-9_]*`, unique.
        work: What is computed, in words.
        workload: The workload ...
        size: ... and its size.
        runs: Builders of plans, and of what they are compared with, by name.
        libraries: Baselines to compare with.
        claims: Targets of ratios.
        groups: Names of libraries that a claim names together.
        dtype: The dtype that is computed in.
    """

    name: str
    work: str
    workload: Workload
    size: int
    runs: Mapping[str, RunBuilder]
    libraries: tuple[Baseline, ...] = ()
    claims: tuple[Claim, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]]
    )
    dtype: torch.dtype = torch.float32

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all runs."""
        return (*self.runs, *(library.name for library in self.libraries))

    def members(self, name: str) -> tuple[str, ...]:
        """Return the runs that a claim's `other` stands for."""
        if name == LIBRARIES:
            return tuple(library.name for library in self.libraries)
        return self.groups.get(name, (name,))


def plan_for(spec: DerivativeSpec, **options: Any) -> jacengine.Plan:
    """Plan the derivative of a spec, with other options of `jacengine.plan`."""
    return jacengine.plan(spec.fn, *spec.args, **spec.options, **options)


def computed(spec: DerivativeSpec, **options: Any) -> Run:
    """Return the run of a plan, with a new result."""
    plan = plan_for(spec, **options)
    return Run(lambda: plan(*spec.args))


PLAN, COMPILED = "plan(x)", "plan(x), compiled"
COMPUTED: dict[str, RunBuilder] = {
    PLAN: computed,
    COMPILED: functools.partial(computed, compiled=True),
}
"""The runs of plans with new results."""


def baselines(*names: str) -> tuple[Baseline, ...]:
    """Return the baselines of these names, in the order of tables."""
    found = tuple(baseline for baseline in BASELINES if baseline.name in names)
    assert len(found) == len(names)
    return found
