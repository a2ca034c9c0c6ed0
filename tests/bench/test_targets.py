"""The benchmarks with targets: their arithmetic, and that they run."""

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from jacengine.bench import peers
from jacengine.bench.baselines import BASELINES
from jacengine.bench.reference import reference
from jacengine.bench.targets.command import FAMILIES, main
from jacengine.bench.targets.contest import (
    FEW,
    LIBRARIES,
    Claim,
    Contest,
    Entrant,
    distance,
    enter,
    hold,
)
from jacengine.bench.targets.target import Target
from jacengine.bench.workloads import WORKLOADS

# What libraries tell their users is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

TARGETS = [target for family in FAMILIES.values() for target in family.targets]
# Of second derivatives a few: their slowest rivals take seconds at any size.
QUICK = ("laplacian", "mlp_hessian_8", "normal_modes_6")
everywhere = pytest.mark.parametrize(
    "target",
    [
        target
        for family in FAMILIES.values()
        for target in family.targets
        if family.name != "second_order" or target.name in QUICK
    ],
    ids=lambda target: target.name,
)


def nothing() -> None:
    return None


def held(**amounts: float) -> dict[str, float]:
    return dict(amounts)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave compiling out: it takes seconds for each target."""
    monkeypatch.setattr("jacengine.api.jacobian.compiled_plan", lambda plan, *_: plan)


@everywhere
@pytest.mark.usefixtures("uncompiled")
def test_a_contest_is_held(target: Target) -> None:
    contest = target.contest(3)
    outcome = hold(contest, FEW)
    assert len(outcome.findings) == len(contest.claims)
    for finding in outcome.findings:
        assert finding.ratio is None or finding.ratio > 0
    assert set(outcome.times_s) == set(contest.entrants)
    assert not set(outcome.out) & set(outcome.times_s)


@pytest.mark.usefixtures("uncompiled")
def test_a_report_is_written(tmp_path: Path) -> None:
    asked = ["parameters", "--only", "called_twice", "--only", "memory_convnet"]
    options = ["--out", str(tmp_path), "--rounds", str(FEW), "--size", "4"]
    done = CliRunner().invoke(main, [*asked, *options])
    assert done.exit_code == 0, done.output
    assert "figures in" in done.output
    document = json.loads((tmp_path / "parameters.json").read_text())
    assert [t["name"] for t in document["targets"]] == [
        "called_twice",
        "memory_convnet",
    ]
    assert document["machine"]["torch"] == torch.__version__
    page = (tmp_path / "parameters.md").read_text()
    assert "peak beyond out / inputs and cotangents" in page
    assert "B=4" in page


def test_claims_are_ratios_of_what_was_found() -> None:
    claims = (
        Claim("a", "b", 3.0, at_least=True),
        Claim("a", "b", 3.0),
        Claim("b", "a", 0.5),
    )
    contest = Contest({}, claims, amounts=held(a=8.0, b=4.0))
    ratios = [(f.claim, f.target, f.ratio, f.met) for f in hold(contest, FEW).findings]
    assert ratios == [
        ("a / b", ">= 3", 2.0, False),
        ("a / b", "<= 3", 2.0, True),
        ("b / a", "<= 0.5", 0.5, True),
    ]


def test_a_part_of_the_work_is_scaled() -> None:
    slow = Entrant(lambda: torch.ones(1000, 1000).sum(), times=1e6)
    claim = Claim("scaled", "plain", 100.0, at_least=True)
    plain = Entrant(slow.run)
    [found] = hold(Contest({"scaled": slow, "plain": plain}, (claim,)), FEW).findings
    assert found.met


def test_the_best_library_is_the_fastest_of_the_libraries() -> None:
    entrants = {
        "quick": Entrant(nothing),
        "slow": Entrant(nothing, times=1e9),
        "ours": Entrant(nothing),
    }
    claim = Claim(LIBRARIES, "ours", 1.0, at_least=True)
    contest = Contest(entrants, (claim,), groups={LIBRARIES: ("quick", "slow")})
    [found] = hold(contest, FEW).findings
    assert found.claim == "best library (quick) / ours"


@pytest.mark.parametrize(
    ("reason", "met"), [("cannot: it has no such layer", True), ("missing", None)]
)
def test_nobody_to_compare_with(reason: str, met: bool | None) -> None:
    if reason == "missing":
        reason = str(peers.absent("a_library_that_nobody_wrote"))
    claim = Claim(LIBRARIES, "ours", 1.0, at_least=True)
    contest = Contest({"ours": Entrant(nothing)}, (claim,), out={"theirs": reason})
    [found] = hold(contest, FEW).findings
    assert (found.ratio, found.met) == (None, met)


def test_a_wrong_library_is_named_and_does_not_count() -> None:
    workload = next(w for w in WORKLOADS if w.name == "backpack_example")
    question = workload.build(1)
    right = reference(question)
    library = next(b for b in BASELINES if b.name == "vmap(jacrev)")
    entrants, out = enter([library], workload, 1, question, right)
    assert list(entrants) == [library.name]
    assert out == {}
    name = next(iter(right))
    wrong = {**right, name: right[name] * 1.01}
    entrants, out = enter([library], workload, 1, question, wrong)
    assert entrants == {}
    assert out[library.name].startswith("wrong: off by 0.0099")


def test_the_distance_is_relative_to_each_block() -> None:
    expected = {"a": torch.tensor([1.0, 100.0]), "b": torch.tensor([1.0])}
    found = {"a": torch.tensor([2.0, 100.0]), "b": torch.tensor([1.5])}
    assert distance(found, expected) == pytest.approx(0.5)
    assert distance(expected, expected) == 0
    for other in ({"a": found["a"]}, {"a": found["a"], "b": torch.ones(2)}):
        assert distance(other, expected) == float("inf")
    lost: dict[str, Tensor] = {**expected, "b": torch.tensor([float("nan")])}
    assert distance(lost, expected) == float("inf")


def test_every_target_has_a_name_of_its_own() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
