"""Benchmarks of comparisons under pytest-benchmark, in interleaved rounds.

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
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils import _pytree as pytree

from jacengine.bench.comparison import Comparison, Run, baselines, plan_for
from jacengine.timing import seconds

MIN_ROUNDS, MAX_ROUNDS, LIMIT_S = 3, 21, 10.0
"""Rounds of a benchmark: as many as fit into the limit."""
TOLERANCE = 1e-3
"""Of float32 results, relative to the largest entry of a parameter's block."""
OWN = ""
"""In the result of `interleave`: the run itself."""


class NotComparableError(Exception):
    """A library is missing, does not apply, or is wrong; the message says which."""


class PreparedRuns:
    """The runs of a comparison, each built when it is first needed."""

    def __init__(self, comparison: Comparison) -> None:
        self.spec = comparison.workload.build(comparison.size).to(
            dtype=comparison.dtype
        )
        self._comparison = comparison
        self._built: dict[str, Run] = {}

    def __getitem__(self, name: str) -> Run:
        """Build a run.

        Raises:
            NotComparableError: It is a library's, and cannot be compared with.
        """
        if name not in self._built:
            build = self._comparison.runs.get(name)
            self._built[name] = build(self.spec) if build else self._library(name)
        return self._built[name]

    @functools.cached_property
    def _expected(self) -> Any:
        return plan_for(self.spec)(*self.spec.args)

    def _library(self, name: str) -> Run:
        (library,) = baselines(name)
        workload = self._comparison.workload
        missing = library.missing()
        if missing is not None:
            raise NotComparableError(missing)
        refusal = library.check(workload, self.spec)
        if refusal is not None:
            raise NotComparableError(f"cannot: {refusal.reason}")
        try:
            prepared = library.prepare(workload, self.spec)
            error = relative_error(prepared(), self._expected)
        except Exception as raised:
            first_line = next(iter(str(raised).splitlines()), "")
            reason = f"cannot: {type(raised).__name__}: {first_line}"
            raise NotComparableError(reason) from raised
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
    benchmark.group = f"{comparison.name} {comparison.size}"
    medians = interleave(benchmark, run, plans)
    benchmark.extra_info["work"] = f"{comparison.work}, {comparison.size}"
    benchmark.extra_info["claims"] = [
        *(claim.record() for claim in comparison.claims if claim.plan == name),
        *(
            claim.record(medians.get(claim.plan), medians.get(OWN), name)
            for claim in claims
        ),
    ]


def interleave(
    benchmark: BenchmarkFixture, run: Run, others: Mapping[str, Run]
) -> dict[str, float]:
    """Benchmark a run, and time the others once before each of its rounds.

    Args:
        benchmark: The fixture.
        run: What pytest-benchmark times and reports.
        others: Further runs by name.

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
