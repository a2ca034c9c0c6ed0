import json
from dataclasses import replace
from pathlib import Path

from jacengine.sweep.case_spec import CaseSpec, Settings
from jacengine.sweep.journal import create_journal, read_journal
from tests.commands.build import STEADY, one, run, saved
from tests.sweep.build import MACHINE, case, manifest, report, row


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
