import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from jacengine.report import write_report
from tests.commands.build import STEADY, one, run, saved
from tests.sweep.build import MACHINE, case, report, row


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Write two runs, the second half as fast again and larger."""
    write_report(report(one()), tmp_path / "base")
    write_report(report(one(1.5, 1100)), tmp_path / "new")
    return tmp_path / "base", tmp_path / "new"


def test_a_regression_fails_where_that_is_wanted(runs: tuple[Path, Path]) -> None:
    base, new = runs

    assert run("compare", base, new).exit_code == 0
    assert run("compare", base, new, "--fail-if", "time:10%").exit_code == 1
    assert run("compare", base, new, "--fail-if", "time:60%").exit_code == 0
    assert run("compare", base, new, "--fail-if", "time:60%,memory:5%").exit_code == 1
    assert run("compare", new, base, "--fail-if", "time:10%,memory:5%").exit_code == 0
    assert run("compare", base, base, "--fail-if", "time:10%,memory:5%").exit_code == 0


def test_what_is_said(runs: tuple[Path, Path]) -> None:
    result = run("compare", *runs)

    assert "regressed  [one]/2  a|b" in result.stdout
    assert "1 cases: 2 regressed" in result.stderr
    assert run("compare", runs[0], runs[0]).stdout.strip().count("\n") == 0
    assert "same" in run("compare", runs[0], runs[0], "--all").stdout


def test_forms(runs: tuple[Path, Path]) -> None:
    found = json.loads(run("compare", *runs, "--format", "json").stdout)
    assert [(d["quantity"], d["verdict"]) for d in found] == [
        ("time", "regressed"),
        ("memory", "regressed"),
    ]
    assert found[0]["ratio"] == pytest.approx(1.5)
    text = run("compare", *runs, "--format", "csv").stdout
    assert [line["verdict"] for line in csv.DictReader(io.StringIO(text))] == [
        "regressed",
        "regressed",
    ]
    text = run("compare", *runs, "--format", "markdown").stdout
    assert "| regressed | [one]/2 | a\\|b | time |" in text


def test_a_library_that_regresses_fails_nothing(tmp_path: Path) -> None:
    before = case("one/2", row("x", STEADY, kind="library"))
    after = case("one/2", row("x", [2 * t for t in STEADY], kind="library"))
    base = saved(report(before), tmp_path / "a")
    new = saved(report(after), tmp_path / "b")

    assert run("compare", base, new, "--fail-if", "time:10%").exit_code == 0


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    base = saved(report(one()), tmp_path / "a")
    other = saved(report(one(), machine=replace(MACHINE, cpu="Other")), tmp_path / "b")
    alien = saved(report(case("two/2")), tmp_path / "c")

    result = run("compare", base, other)
    assert result.exit_code == 4
    assert "different machines" in result.stderr
    result = run("compare", base, alien)
    assert result.exit_code == 4
    assert "no case in common" in result.stderr


def test_version_differences_are_a_warning(tmp_path: Path) -> None:
    base = saved(report(one(), case("two/2")), tmp_path / "a")
    other = report(one(), machine=replace(MACHINE, torch="9.9"))
    new = saved(other, tmp_path / "b")

    result = run("compare", base, new)

    assert result.exit_code == 0
    assert "warning: PyTorch 2.13.0 and 9.9" in result.stderr
    assert f"warning: only in {base}: two/2" in result.stderr


@pytest.mark.parametrize(
    ("tolerances", "message"),
    [
        ("timed:10%", "Did you mean 'time'"),
        ("time:10", "expected as in time:10%"),
        ("", "expected as in"),
    ],
)
def test_tolerances_that_cannot_be_read(
    runs: tuple[Path, Path], tolerances: str, message: str
) -> None:
    result = run("compare", *runs, "--fail-if", tolerances)

    assert result.exit_code == 2
    assert message in result.stderr


def test_runs_that_are_not_there(runs: tuple[Path, Path]) -> None:
    result = run("compare", runs[0], "nowhere")

    assert result.exit_code == 2
    assert "There is no nowhere" in result.stderr
