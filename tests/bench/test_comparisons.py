"""The comparisons that are benchmarked: their arithmetic, and that every run works."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from click.testing import CliRunner
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import jacengine
from jacengine.bench import claims, test_parameters
from jacengine.bench import comparison as comparisons
from jacengine.bench.claims import Claim
from jacengine.bench.comparison import (
    LIBRARIES,
    MAX_ROUNDS,
    MIN_ROUNDS,
    OWN,
    Comparison,
    NotComparableError,
    PreparedRuns,
    Run,
    baselines,
    compare,
    interleave,
    relative_error,
)
from jacengine.bench.reference import reference
from jacengine.bench.test_second_order import COMPARISONS as SECOND_ORDER
from jacengine.bench.workload import DerivativeSpec
from jacengine.bench.workloads import WORKLOADS
from jacengine.plans.planning import make_plan
from jacengine.plans.request import PlanRequest

# Warnings of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

COMPARISONS = (
    *test_parameters.COMPARISONS,
    *test_parameters.MEMORY,
    *SECOND_ORDER,
)
# A few second derivatives: the slowest libraries take seconds at any size.
QUICK = ("laplacian", "mlp_hessian_8", "normal_modes_6")
EXAMPLE = next(w for w in WORKLOADS if w.name == "backpack_example")


def nothing(_: DerivativeSpec) -> Run:
    return Run(lambda: None)


class FakeBenchmark:
    """Calls what it is to time as pytest-benchmark does; all medians are 8 seconds."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.group = ""
        self.stats = {"median": 8.0}
        self.rounds = 0

    def pedantic(
        self, target: Callable[[], None], setup: Callable[[], None], rounds: int
    ) -> None:
        for _ in range(rounds):
            setup()
            target()
        self.rounds = rounds

    @property
    def fixture(self) -> BenchmarkFixture:
        return cast("BenchmarkFixture", self)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the compiler, which takes seconds for each plan."""

    def make_eager(request: PlanRequest) -> jacengine.Plan:
        return make_plan(replace(request, compiled=False))

    monkeypatch.setattr("jacengine.api.mesh.make_plan", make_eager)


@pytest.fixture
def four_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run that is timed beside a benchmark take four seconds."""

    def timed(call: Callable[[], object], _: torch.device) -> float:
        call()
        return 4.0

    monkeypatch.setattr(comparisons, "seconds", timed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "comparison",
    [c for c in COMPARISONS if c not in SECOND_ORDER or c.name in QUICK],
    ids=lambda comparison: comparison.name,
)
@pytest.mark.usefixtures("uncompiled")
def test_every_run_of_a_comparison_works(comparison: Comparison) -> None:
    runs = PreparedRuns(replace(comparison, size=3))
    excluded: dict[str, str] = {}
    for name in comparison.names:
        try:
            runs[name].call()
        except NotComparableError as reason:
            excluded[name] = str(reason)
    assert set(excluded) <= {library.name for library in comparison.libraries}
    assert not [reason for reason in excluded.values() if "wrong" in reason]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: c.name)
def test_claims_are_about_runs(comparison: Comparison) -> None:
    for claim in comparison.claims:
        assert claim.plan in comparison.runs
        assert set(comparison.members(claim.other)) <= set(comparison.names)
        assert comparison.members(claim.other)


def test_names_are_unique() -> None:
    assert len({comparison.name for comparison in COMPARISONS}) == len(COMPARISONS)


@pytest.mark.parametrize(
    ("claim", "words", "target", "ratio", "met"),
    [
        (Claim("a", "b", 3.0), "a / b", "<= 3", 2.0, True),
        (Claim("a", "b", 0.5), "a / b", "<= 0.5", 2.0, False),
        (Claim("a", "b", 0.5, speedup=True), "b / a", ">= 0.5", 0.5, True),
        (Claim("a", "b", 3.0, speedup=True), "b / a", ">= 3", 0.5, False),
    ],
)
def test_a_claim_is_a_ratio(
    claim: Claim, words: str, target: str, ratio: float, met: bool
) -> None:
    expected = {"claim": words, "run": "", "target": target}
    found = claim.record(plan=8.0, other=4.0)
    assert found == {**expected, "ratio": ratio, "met": met}
    assert claim.record() == {**expected, "ratio": None, "met": None}


@pytest.mark.usefixtures("four_seconds")
def test_runs_are_interleaved_and_scaled() -> None:
    order: list[str] = []
    benchmark = FakeBenchmark()
    part = Run(lambda: order.append("part"), scale=3.0)
    others = {"other": Run(lambda: order.append("other"), scale=10.0)}
    medians = interleave(benchmark.fixture, part, others)
    assert medians == {OWN: 24.0, "other": 40.0}
    rounds = ["part", "other"] + ["other", "part"] * benchmark.rounds
    assert order == rounds
    assert benchmark.rounds == MIN_ROUNDS


def test_a_fast_run_takes_all_rounds() -> None:
    benchmark = FakeBenchmark()
    interleave(benchmark.fixture, Run(lambda: None), {})
    assert benchmark.rounds == MAX_ROUNDS


@pytest.mark.usefixtures("four_seconds")
def test_claims_are_stored_with_the_run_that_a_plan_is_compared_with() -> None:
    claim = Claim("plan", "fill", 1.0)
    runs = {"plan": nothing, "fill": nothing}
    comparison = Comparison("c", "work", EXAMPLE, 1, runs, claims=(claim,))
    stored: dict[str, Any] = {}
    for name in runs:
        benchmark = FakeBenchmark()
        compare(benchmark.fixture, comparison, name)
        assert benchmark.group == "c 1"
        [stored[name]] = benchmark.extra_info["claims"]
    assert stored["plan"] == claim.record()
    assert stored["fill"] == claim.record(plan=4.0, other=8.0, run="fill")


def printed(benchmarks: list[dict[str, Any]], folder: Path) -> str:
    report = folder / "report.json"
    report.write_text(json.dumps({"benchmarks": benchmarks}))
    done = CliRunner().invoke(claims.main, [str(report)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_closest_library_is_printed(tmp_path: Path) -> None:
    claim = Claim("plan", LIBRARIES, 2.0, speedup=True)
    records = [
        claim.record(),
        claim.record(1.0, 9.0, "slow"),
        claim.record(1.0, 3.0, "quick"),
    ]
    benchmarks = [
        {"extra_info": {"work": "work", "claims": [record]}} for record in records
    ]
    output = printed(benchmarks, tmp_path)
    assert "quick" in output
    assert "slow" not in output
    assert "1 of 1 targets met" in output
    assert "0 of 1 targets met" in printed(benchmarks[:1], tmp_path)


def test_regret_is_printed(tmp_path: Path) -> None:
    benchmarks = [
        {"extra_info": {"selection": {"workload": name, "regret": regret}}}
        for name, regret in (("one", 1.0), ("two", 1.25), ("three", 1.125))
    ]
    output = printed(benchmarks, tmp_path)
    assert "median regret 1.125, worst 1.250" in output


def test_a_wrong_library_is_not_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    [library] = baselines("vmap(jacrev)")
    comparison = Comparison("c", "work", EXAMPLE, 1, {}, (library,))
    PreparedRuns(comparison)[library.name].call()
    right = reference(EXAMPLE.build(1))
    name = next(iter(right))
    wrong = {**right, name: right[name] * 1.01}
    runs = PreparedRuns(comparison)
    monkeypatch.setattr(PreparedRuns, "_expected", wrong)
    with pytest.raises(NotComparableError, match=r"wrong: off by 0\.0099"):
        runs[library.name]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [library] = baselines("backpack.BatchGrad")
    monkeypatch.setattr(
        "jacengine.bench.optional_libraries.installed", lambda library: not library
    )
    runs = PreparedRuns(Comparison("c", "work", EXAMPLE, 1, {}, (library,)))
    with pytest.raises(NotComparableError, match="backpack is not installed"):
        runs[library.name]


def test_the_error_is_relative_to_each_block() -> None:
    expected = {"a": torch.tensor([1.0, 100.0]), "b": torch.tensor([1.0])}
    found = {"a": torch.tensor([2.0, 100.0]), "b": torch.tensor([1.5])}
    assert relative_error(found, expected) == pytest.approx(0.5)
    assert relative_error(expected, expected) == 0
    for other in ({"a": found["a"]}, {"a": found["a"], "b": torch.ones(2)}):
        assert relative_error(other, expected) == float("inf")
    lost: dict[str, Tensor] = {**expected, "b": torch.tensor([float("nan")])}
    assert relative_error(lost, expected) == float("inf")


@pytest.mark.slow
def test_a_report_has_claims(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = [
        "--benchmark-only",
        f"--benchmark-json={report}",
        "-p",
        "no:cacheprovider",
    ]
    cases = ["bench/test_parameters.py", "-k", "tangent_kernel"]
    command = [sys.executable, "-m", "pytest", *cases, *options]
    # In a worker of pytest-xdist, pytest-benchmark would disable itself.
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout
    document = json.loads(report.read_text())
    assert document["machine_info"]["torch"] == torch.__version__
    found = claims.claims(document)
    assert len(found) == 2
    assert (found["ratio"] > 0).all()
