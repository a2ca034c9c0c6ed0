"""Comparisons of plans with other computations, as pytest-benchmark cases.

    python -m pytest bench/test_parameters.py --benchmark-only --benchmark-json=out.json
    python -m jacengine.bench.claims out.json

A comparison is a group of benchmarks: plans, and what they are compared with. Each
benchmark of the latter also times the plans, once before each of its rounds, and stores
the ratios that have a target as `extra_info["claims"]`; the second command prints them.
No wall-clock time is asserted.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils import _pytree as pytree

import jacengine
from jacengine.bench.baselines import BASELINES, Baseline
from jacengine.bench.baselines.baseline import first_line
from jacengine.bench.claims import Claim
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.timing import seconds

MIN_ROUNDS, MAX_ROUNDS, LIMIT_S = 3, 21, 10.0
"""Rounds of a benchmark: as many as fit into the limit."""
TOLERANCE = 1e-3
"""Of float32 results, relative to the largest entry of a parameter's block."""
OWN = ""
"""In the result of `interleave`: the run itself."""
LIBRARIES = "best library"
"""In a claim: every library of the comparison whose result is right."""


class NotComparableError(Exception):
    """A library is missing, does not apply, or is wrong; the message says which."""


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
        expected: Computes what the results of libraries are compared with; by default
            a plan does.
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
    dtype: torch.dtype | None = torch.float32
    expected: Callable[[DerivativeSpec], Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all runs."""
        return (*self.runs, *self.members(LIBRARIES))

    def members(self, name: str) -> tuple[str, ...]:
        """Return the runs that a claim's `other` stands for."""
        if name == LIBRARIES:
            return tuple(library.name for library in self.libraries)
        return self.groups.get(name, (name,))

    def describe(self, benchmark: BenchmarkFixture) -> None:
        """Say in a report what is computed."""
        benchmark.group = f"{self.name} {self.size}"
        benchmark.extra_info["work"] = f"{self.work}, {self.size}"


def baselines(*names: str) -> tuple[Baseline, ...]:
    """Return the baselines of these names, in the order of tables."""
    found = tuple(baseline for baseline in BASELINES if baseline.name in names)
    assert len(found) == len(names)
    return found


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


class PreparedRuns:
    """The runs of a comparison, each built when it is first needed."""

    def __init__(self, comparison: Comparison) -> None:
        spec = comparison.workload.build(comparison.size)
        self.spec = spec.to(dtype=comparison.dtype)
        self._comparison = comparison
        self._built: dict[str, Run] = {}

    def __getitem__(self, name: str) -> Run:
        """Build a run; a `NotComparableError` says why a library has none."""
        if name not in self._built:
            build = self._comparison.runs.get(name)
            self._built[name] = build(self.spec) if build else self._library(name)
        return self._built[name]

    @functools.cached_property
    def _expected(self) -> Any:
        if self._comparison.expected is not None:
            return self._comparison.expected(self.spec)
        return plan_for(self.spec)(*self.spec.args)

    def _library(self, name: str) -> Run:
        (library,) = (one for one in self._comparison.libraries if one.name == name)
        workload = self._comparison.workload
        if missing := library.missing():
            raise NotComparableError(missing)
        if refusal := library.check(workload, self.spec):
            raise NotComparableError(f"cannot: {refusal.reason}")
        try:
            prepared = library.prepare(workload, self.spec)
            error = relative_error(prepared(), self._expected)
        except Exception as raised:
            raise NotComparableError(f"cannot: {first_line(raised)}") from raised
        if error > TOLERANCE:
            reason = f"wrong: off by {error:.2g} of a block's largest entry"
            raise NotComparableError(reason)
        return Run(prepared.run)


prepared_runs = functools.lru_cache(maxsize=1)(PreparedRuns)
"""The runs of the comparison that the current test is about."""


def relative_error(found: Any, expected: Any) -> float:
    """Return the largest error, relative to the largest entry of its block.

    Blocks that are zero up to rounding are compared with the scale of the others.
    """
    results, structure = pytree.tree_flatten(found)
    references, expected_structure = pytree.tree_flatten(expected)
    shapes = [block.shape for block in references]
    if structure != expected_structure or [r.shape for r in results] != shapes:
        return float("inf")
    scales = [float(block.abs().max()) for block in references]
    floor = max(1e-3 * max(scales), torch.finfo(references[0].dtype).tiny)
    errors = [
        float((a - b).abs().max()) / max(scale, floor)
        for a, b, scale in zip(results, references, scales, strict=True)
    ]
    # Not max(), which may ignore NaN.
    return float(torch.tensor(errors).nan_to_num(nan=float("inf")).max())


def parametrize(comparisons: Iterable[Comparison]) -> pytest.MarkDecorator:
    """Make a test of each run of each comparison."""
    return pytest.mark.parametrize(
        ("comparison", "run"),
        [
            pytest.param(one, run, id=f"{one.name}-{run}")
            for one in comparisons
            for run in one.names
        ],
    )


def compare(benchmark: BenchmarkFixture, comparison: Comparison, name: str) -> None:
    """Benchmark a run of a comparison, and store the claims about it.

    Claims about the run of a plan are stored without a ratio: the benchmarks that it is
    compared with have it.
    """
    runs = prepared_runs(comparison)
    claims = [c for c in comparison.claims if name in comparison.members(c.other)]
    try:
        run, plans = runs[name], {claim.plan: runs[claim.plan] for claim in claims}
    except NotComparableError as reason:
        pytest.skip(str(reason))
    comparison.describe(benchmark)
    medians = interleave(benchmark, run, plans)
    own = medians.get(OWN)
    benchmark.extra_info["claims"] = [
        *(claim.record() for claim in comparison.claims if claim.plan == name),
        *(claim.record(medians.get(claim.plan), own, name) for claim in claims),
    ]


def interleave(
    benchmark: BenchmarkFixture, run: Run, others: Mapping[str, Run]
) -> dict[str, float]:
    """Benchmark a run, and time the others once before each of its rounds.

    Returns:
        Median seconds by name, of the run as `OWN`; none if benchmarks are disabled.
    """
    device = torch.device("cpu")
    round_s = sum(seconds(one.call, device) for one in (run, *others.values()))
    rounds = max(MIN_ROUNDS, min(MAX_ROUNDS, int(LIMIT_S / round_s)))
    times: dict[str, list[float]] = {name: [] for name in others}
    result: list[object] = []

    def time_others() -> None:
        result.clear()
        for name, other in others.items():
            times[name].append(seconds(other.call, device) * other.scale)

    def timed() -> None:
        # Kept until the next round, so that freeing it is not timed.
        result.append(run.call())

    pedantic: Any = benchmark.pedantic
    pedantic(timed, setup=time_others, rounds=rounds)
    if benchmark.stats is None:
        return {}
    medians = {name: statistics.median(ts) for name, ts in times.items()}
    return {**medians, OWN: benchmark.stats["median"] * run.scale}
