"""`compare`, `report` and `merge`, on made-up results."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from jacengine.report import Case, Report, write_report
from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.journal import create_journal, read_journal
from tests.commands.build import run
from tests.sweep.build import MACHINE, case, manifest, report, row

STEADY = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98]


def one(factor: float = 1.0, memory: int = 1000) -> Case:
    times = [factor * time for time in STEADY]
    return case("[one]/2", row("a|b", times, peak_bytes=memory))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Write two runs, the second half as fast again and larger."""
    write_report(report(one()), tmp_path / "base")
    write_report(report(one(1.5, 1100)), tmp_path / "new")
    return tmp_path / "base", tmp_path / "new"


def saved(content: Report, folder: Path) -> Path:
    write_report(content, folder)
    return folder


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


def test_a_report_of_several_runs(tmp_path: Path) -> None:
    one_run = saved(report(one()), tmp_path / "a")
    other = saved(report(case("two/2")), tmp_path / "b")

    result = run("report", one_run, other, "--out", tmp_path / "c")

    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "c" / "report.html")
    found = json.loads((tmp_path / "c" / "results.json").read_text())
    assert [case["name"] for case in found["cases"]] == ["[one]/2", "two/2"]


def test_a_report_goes_beside_its_run(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with create_journal(folder, manifest(CaseSpec("one", 2))) as writer:
        writer.append(case("one/2", row("a", STEADY)))

    assert run("report", folder).exit_code == 0
    assert (folder / "report.html").exists()


def test_merging(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        with create_journal(
            tmp_path / str(number), manifest(CaseSpec(name, 2))
        ) as writer:
            if name == "one":
                writer.append(case("one/2", row("a", STEADY)))
    shares = [tmp_path / "0", tmp_path / "1"]

    result = run("merge", *shares, "--out", tmp_path / "whole")

    assert result.exit_code == 0, result.output
    assert "1 of 2 cases are missing" in result.stderr
    assert [t.name for t in read_journal(tmp_path / "whole").remaining] == ["two/2"]
    assert run("merge", *shares, "--out", tmp_path / "whole").exit_code == 2
    assert run("merge", shares[0], shares[0], "--out", tmp_path / "x").exit_code == 2


def test_merging_what_does_not_belong_together(tmp_path: Path) -> None:
    for name, machine in (("a", MACHINE), ("b", replace(MACHINE, cores=9))):
        with create_journal(
            tmp_path / name, manifest(CaseSpec(name, 2), machine=machine)
        ):
            pass
    with create_journal(
        tmp_path / "c", manifest(CaseSpec("c", 2), settings=Settings(seed=2))
    ):
        pass

    two = tmp_path / "a", tmp_path / "b"
    assert run("merge", *two, "--out", tmp_path / "w").exit_code == 4
    assert run("merge", *two, "--mixed", "--out", tmp_path / "w").exit_code == 0
    other = tmp_path / "a", tmp_path / "c"
    assert run("merge", *other, "--out", tmp_path / "v").exit_code == 2
